"""The official lists of known data sets: their videos with class and split.

Each reader returns a `Catalogue` and does not look at the videos. Contradictory lines are errors
that name both lines.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from vie_tf.errors import InputError

# By what Kinetics' names for its splits contain. Papers measure on val, which is our test; its own
# test set, whose labels were long secret, belongs to no split.
_KINETICS_SPLITS = {"train": "train", "val": "test", "test": "", "holdout": ""}


@dataclass
class Catalogue:
    """The content of a data set's lists.

    Attributes:
        facts: for each video by its listed name: 'label' and the splits by their columns, each with
            the line that says so.
        aliases: further names that a file may have, without extension, and the video they stand
            for; None if they would stand for several.
        classes: names in the official order; empty: the sorted names of those that are found.
        columns: of the splits.
        fold: whether file names ignore case.
    """

    facts: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    aliases: dict[str, str | None] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    columns: tuple[str, ...] = ("split",)
    fold: bool = False

    def add(self, name: str, where: str, **facts: str) -> None:
        """Records what a line says about a video.

        Raises:
            InputError: an earlier line says otherwise.
        """
        known = self.facts.setdefault(name, {})
        for fact, value in facts.items():
            before, line = known.setdefault(fact, (value, where))
            if before != value:
                raise InputError(
                    f"{where}: the {fact} of {name} is {value or 'none'}, but {before or 'none'} "
                    f"at {line}; fix the lists"
                )

    def call(self, alias: str, name: str) -> None:
        """Adds another name for a video's file, unless it stands for another video."""
        alias = alias.casefold() if self.fold else alias
        if self.aliases.setdefault(alias, name) != name:
            self.aliases[alias] = None

    def find(self, path: str) -> str | None:
        """Returns the listed name of a file by the end of its path, the longest first."""
        stem = os.path.splitext(path)[0]
        stem = stem.casefold() if self.fold else stem
        while True:
            if stem in self.aliases:
                return self.aliases[stem]
            if "/" not in stem:
                return None
            stem = stem.split("/", 1)[1]


def kinetics(lists: list[str]) -> Catalogue:
    """Reads Kinetics' CSVs: label,youtube_id,time_start,time_end,split, of one split or of all.

    Files are named <id>_<start>_<end>, <id>_<start> (seconds, with or without leading zeros) or
    <id>, in any folder.
    """
    catalogue = Catalogue()
    for path in lists:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            table = csv.DictReader(file)
            if not {"youtube_id", "time_start", "time_end"} <= set(table.fieldnames or ()):
                continue
            for row in table:
                where = f"{path} line {table.line_num}"
                word = row.get("split") or os.path.splitext(os.path.basename(path))[0]
                split = next((_KINETICS_SPLITS[w] for w in _KINETICS_SPLITS if w in word), None)
                if split is None:
                    raise InputError(f"{where}: the split is {word!r}, neither train, val nor test")
                try:
                    start, end = (round(float(row[f"time_{which}"])) for which in ("start", "end"))
                except (ValueError, TypeError) as error:
                    raise InputError(f"{where}: time_start or time_end is no number") from error
                video = row["youtube_id"]
                name = f"{video}_{start:06d}_{end:06d}"
                catalogue.add(name, where, label=row.get("label") or "", split=split)
                times = (f"_{start:06d}_{end:06d}", f"_{start}_{end}", f"_{start:06d}", f"_{start}")
                for known in {*times, ""}:
                    catalogue.call(video + known, name)
    _need(catalogue.facts, lists, "a CSV with the columns youtube_id, time_start and time_end")
    labels = {told["label"][0] for told in catalogue.facts.values()} - {""}
    catalogue.classes = sorted(labels, key=_folder)
    return catalogue


def _folder(label: str) -> str:
    """Returns Kinetics' usual folder of a class, by which VIE's categories.txt is sorted."""
    return label.replace(" ", "_").translate(str.maketrans("", "", "\"()'"))


def ucf101(lists: list[str]) -> Catalogue:
    """Reads UCF101's classInd.txt, and trainlist0N.txt and testlist0N.txt of the given splits.

    Case is ignored: the class HandstandPushups has files v_HandStandPushups_….
    """
    catalogue = Catalogue(fold=True)
    number = {}
    for where, (index, label) in _pairs(_named(lists, "classInd.txt")):
        number[label] = _whole(index, where)
    catalogue.classes = _in_order(number, "classInd.txt", first=1)
    splits = [n for n in "123" if any(os.path.basename(p) == f"trainlist0{n}.txt" for p in lists)]
    _need(splits, lists, "trainlist01.txt")
    catalogue.columns = tuple(f"split{n}" for n in splits)
    for n in splits:
        for split in ("train", "test"):
            for where, line in _lines(_named(lists, f"{split}list0{n}.txt")):
                path, _, index = line.partition(" ")
                label, _, file = path.rpartition("/")
                if label not in number:
                    raise InputError(f"{where}: the class {label!r} is not in classInd.txt")
                if index and _whole(index, where) != number[label]:
                    raise InputError(
                        f"{where}: {path} has the label {index}, but the class {label} is number "
                        f"{number[label]} of classInd.txt; fix the lists"
                    )
                catalogue.add(path, where, label=label, **{f"split{n}": split})
                _call_by_file(catalogue, path)
    return catalogue


def hmdb51(lists: list[str]) -> Catalogue:
    """Reads HMDB51's <class>_test_split{1,2,3}.txt: `name.avi 0|1|2` for unused, train, test."""
    catalogue, splits, labels = Catalogue(), set(), set()
    for list_path in lists:
        named = re.fullmatch(r"(.+)_test_split([123])\.txt", os.path.basename(list_path))
        if named:
            label, n = named.groups()
            splits.add(n)
            labels.add(label)
            for where, (name, use) in _pairs(list_path, last=True):
                if use not in ("0", "1", "2"):
                    raise InputError(f"{where}: ends in {use!r}; it must be 0, 1 or 2")
                split = ("", "train", "test")[int(use)]
                catalogue.add(f"{label}/{name}", where, label=label, **{f"split{n}": split})
                _call_by_file(catalogue, f"{label}/{name}")
    _need(splits, lists, "brush_hair_test_split1.txt")
    catalogue.columns = tuple(f"split{n}" for n in sorted(splits))
    catalogue.classes = sorted(labels)
    return catalogue


def imagenet(lists: list[str]) -> Catalogue:
    """Reads classes of ImageNet's flat validation images; other images' folder is the class.

    Takes lines that name image and synset (LOC_val_solution.csv, or plain text), or the devkit's
    ILSVRC2012_validation_ground_truth.txt. The latter holds the devkit's own class numbers, which
    follow no order: its data/meta.mat gives their synsets, or a text file with lines
    `number synset`.
    """
    catalogue, synsets, truth = Catalogue(), {}, None
    for path in lists:
        if os.path.basename(path) == "ILSVRC2012_validation_ground_truth.txt":
            truth = path
        elif path.endswith(".mat"):
            synsets.update(_devkit(path))
        else:
            for where, line in _lines(path):
                if found := re.match(r"(?:.*/)?(\w+_val_\d{8})(?:\.\w+)?[\s,]+(n\d{8})\b", line):
                    catalogue.add(found[1], where, label=found[2], split="test")
                elif found := re.match(r"(\d+)[\s,]+(n\d{8})\b", line):
                    synsets[int(found[1])] = found[2]
    for row, (where, index) in enumerate(_lines(truth) if truth else (), start=1):
        label = synsets.get(_whole(index, where))
        if label is None:
            raise InputError(
                f"{where}: nothing says which synset the devkit's class {index} is; give its "
                "data/meta.mat in --lists too, or a text file with lines such as `1 n02119789`"
            )
        catalogue.add(f"ILSVRC2012_val_{row:08d}", where, label=label, split="test")
    for name in catalogue.facts:
        catalogue.call(name, name)
    _need(catalogue.facts or not lists, lists, "ILSVRC2012_validation_ground_truth.txt")
    return catalogue


def _devkit(path: str) -> dict[int, str]:
    """Returns synsets by the devkit's numbers, from its meta.mat."""
    from scipy.io.matlab import MatReadError, loadmat

    try:
        table = loadmat(path, squeeze_me=True)["synsets"]
        return {int(n): str(s) for n, s in zip(table["ILSVRC2012_ID"], table["WNID"])}
    # SciPy 1.13 raises a TypeError for a file of a few bytes.
    except (MatReadError, NotImplementedError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: is not the devkit's data/meta.mat ({error}); copy that again"
        ) from error


def places(lists: list[str]) -> Catalogue:
    """Reads Places' lists of lines `path number`; without them, the folders are the classes.

    A list belongs to the split, train or val, that its name contains; others are not read. The
    classes' names are in a list whose name begins with categor, with lines `/a/airfield 0`, or are
    the folders of the training images.
    """
    catalogue, number = Catalogue(), {}
    names = {path: os.path.basename(path) for path in lists}
    categories = [path for path in lists if names[path].startswith("categor")]
    train = [path for path in lists if "train" in names[path] and path not in categories]
    test = [path for path in lists if "val" in names[path] and path not in train + categories]
    _need(train or test or not lists, lists, "a list with train or val in its name")
    for path in categories or train:
        for where, (name, index) in _pairs(path, last=True):
            label = (name if categories else os.path.dirname(name)).lstrip("/")
            if number.setdefault(label, _whole(index, where)) != int(index):
                raise InputError(f"{where}: {label} is {index}, but {number[label]} before")
    catalogue.classes = _in_order(number, ", ".join(categories or train))
    for path in train + test:
        for where, (name, index) in _pairs(path, last=True):
            if _whole(index, where) >= len(catalogue.classes):
                raise InputError(f"{where}: there is no class {index}; give the list of categories")
            name, label = name.lstrip("/"), catalogue.classes[int(index)]
            catalogue.add(name, where, label=label, split="train" if path in train else "test")
            catalogue.call(os.path.splitext(name)[0], name)
    return catalogue


def _call_by_file(catalogue: Catalogue, path: str) -> None:
    """Adds the names of a video: `class/name.avi`, or its name alone if files are in one folder."""
    stem = os.path.splitext(path)[0]
    catalogue.call(stem, path)
    catalogue.call(stem.rpartition("/")[2], path)


def _lines(path: str) -> Iterator[tuple[str, str]]:
    """Yields lines that are not empty, each after a description of its place."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield f"{path} line {number}", line.strip()


def _pairs(path: str, last: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Yields lines of two words; with `last`, the first may contain spaces."""
    for where, line in _lines(path):
        words = line.rsplit(None, 1) if last else line.split()
        if len(words) != 2:
            raise InputError(f"{where}: {line!r} is not two words")
        yield where, words


def _whole(word: str, where: str) -> int:
    if not word.isdecimal():
        raise InputError(f"{where}: {word!r} is no whole number")
    return int(word)


def _in_order(number: dict[str, int], what: str, first: int = 0) -> list[str]:
    """Returns names in the order of their numbers, which must have no gaps from `first` on."""
    names = sorted(number, key=number.__getitem__)
    for expected, name in enumerate(names, start=first):
        if number[name] != expected:
            raise InputError(
                f"{what}: the class {name} has the number {number[name]}, where "
                f"{expected} comes next; fix the lists"
            )
    return names


def _named(lists: list[str], name: str) -> str:
    found = [path for path in lists if os.path.basename(path) == name]
    _need(found, lists, name)
    return found[0]


def _need(found: object, lists: list[str], what: str) -> None:
    if not found:
        given = ", ".join(os.path.basename(path) for path in lists[:3]) or "none"
        raise InputError(f"--lists: needs {what}; found {given}{', …' * (len(lists) > 3)}")


READERS: dict[str, Callable[[list[str]], Catalogue]] = {
    "kinetics400": kinetics,
    "kinetics600": kinetics,
    "kinetics700": kinetics,
    "ucf101": ucf101,
    "hmdb51": hmdb51,
    "imagenet": imagenet,
    "places": places,
}
