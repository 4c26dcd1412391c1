"""Lists a known data set as it was downloaded: `python -m data_prep.datasets --dataset=ucf101 …`.

Writes the CSV that `data_prep.videos` and `vie_tf` take, for the files that exist: path, label,
split, class_index (the label's place in the official order), and split1, split2, split3 if the data
set has them. Nothing is decoded.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from dataclasses import dataclass, field

from absl import flags

from data_prep.lists import READERS, Catalogue
from vie_tf.commands import command
from vie_tf.data import files
from vie_tf.data.source import BESIDE, IMAGES, extension, files_in
from vie_tf.errors import InputError


@dataclass(frozen=True)
class Official:
    """The content of a data set according to its authors.

    Attributes:
        classes: how many; None: not stated.
        counts: videos or images by column and split.
        files: in total; None: not stated.
        folders: for images, a pattern of paths whose folders give split and class.
        example: of such a path.
    """

    classes: int | None = None
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    files: int | None = None
    folders: str = ""
    example: str = ""

    def takes(self, path: str) -> bool:
        """Returns whether a file may belong to this data set, by its extension."""
        return extension(path) in IMAGES if self.folders else extension(path) not in BESIDE


def _three(*counts: tuple[int, int]) -> dict[tuple[str, str], int]:
    return {
        (f"split{n}", split): count
        for n, both in enumerate(counts, start=1)
        for split, count in zip(("train", "test"), both)
    }


DATASETS = {
    "kinetics400": Official(400),
    "kinetics600": Official(600),
    "kinetics700": Official(700),
    "ucf101": Official(101, _three((9_537, 3_783), (9_586, 3_734), (9_624, 3_696)), 13_320),
    "hmdb51": Official(51, _three(*[(3_570, 1_530)] * 3), 6_766),
    "imagenet": Official(
        1_000,
        {("split", "train"): 1_281_167, ("split", "test"): 50_000},
        1_331_167,
        r"(?:.*/)?(train|val)/(n\d{8})/[^/]+",
        "train/n01440764/n01440764_10026.JPEG",
    ),
    "places": Official(
        folders=r"(?:.*?/)?(train|val)/(.+)/[^/]+", example="train/a/abbey/00000001.jpg"
    ),
}


@dataclass(frozen=True)
class Found:
    """An existing file, its label and its split in each column; `name` if a list has it."""

    path: str
    label: str
    splits: tuple[str, ...]
    name: str | None


def find_files(official: Official, catalogue: Catalogue, paths: list[str]) -> list[Found]:
    """Finds the files of a data set, one for each listed video.

    Args:
        official: of the data set.
        catalogue: its lists; for images, folders give a split that the lists do not have.
        paths: of files, sorted.

    Raises:
        InputError: a folder is a class that the lists do not have.
    """
    in_lists = {
        told[column][0]
        for told in catalogue.facts.values()
        for column in catalogue.columns
        if column in told
    }
    classes, found, names = set(catalogue.classes), [], set()
    for path in paths:
        name = catalogue.find(path)
        folders = re.fullmatch(official.folders, path) if not name else None
        split = {"train": "train", "val": "test"}[folders[1]] if folders else ""
        if name and name not in names:
            told = catalogue.facts[name]
            splits = tuple(told.get(column, ("",))[0] for column in catalogue.columns)
            found.append(Found(path, told["label"][0], splits, name))
            names.add(name)
        elif folders and split not in in_lists:
            if classes and folders[2] not in classes:
                raise InputError(
                    f"{path}: its folder is no class of --lists; give those of this set"
                )
            found.append(Found(path, folders[2], (split,), None))
    return found


def summary(
    dataset: str, catalogue: Catalogue, found: list[Found], classes: list[str], missing: str
) -> list[str]:
    """Returns lines on what was found, and how it differs from lists and official counts."""
    official = DATASETS[dataset]
    listed, there = Counter(), Counter()
    for told in catalogue.facts.values():
        listed.update((column, told.get(column, ("",))[0]) for column in catalogue.columns)
    for file in found:
        there.update(zip(catalogue.columns, file.splits))
    absent = len(catalogue.facts) - sum(file.name is not None for file in found)
    total = official.files or len(found) + absent
    noun = "images" if official.folders else "videos"
    lines = [f"{dataset}: {len(found):,} of {total:,} {noun} found"]
    if absent:
        lines[0] += f", {absent:,} listed ones missing (see {missing})"
    lines.append(f"{len(classes)} classes")
    if official.classes not in (None, len(classes)):
        lines[-1] += f", officially {official.classes}"
    for column, split in sorted(listed | there):
        place = (column, split)
        line = f"{column} {split or 'none'}: {there[place]:,}"
        if listed[place]:
            gone = listed[place] - there[place]
            line += f" of {listed[place]:,} listed"
            line += f", {gone:,} missing ({100 * gone / listed[place]:.1f} %)" if gone else ""
        known = official.counts.get(place)
        if known and known != (listed[place] or there[place]):
            line += f"; officially {known:,}"
        lines.append(line)
    return lines


def list_dataset(dataset: str, folder: str, lists: list[str], out: str) -> str:
    """Writes the CSV of a data set, and names of missing videos; returns the lines to print.

    Args:
        dataset: one of DATASETS.
        folder: with the videos or images, at any depth.
        lists: the official lists, or folders that hold them.
        out: the CSV; names of listed videos that are missing go to NAME.missing.txt beside it.

    Raises:
        InputError: the lists are incomplete or inconsistent, or none of their files exists.
    """
    if not out.endswith(".csv"):
        raise InputError(f"--out={out}: the name must end in .csv")
    official = DATASETS[dataset]
    catalogue = READERS[dataset](list(_list_files(lists)))
    every = sorted(files_in(folder))
    paths = [path for path in every if official.takes(path)]
    found = find_files(official, catalogue, paths)
    if not found:
        wanted = next(iter(catalogue.facts), official.example)
        there = f"such as {(paths or every)[0]}" if every else "none"
        raise InputError(
            f"{folder}: nothing of {dataset}: looked for names such as {wanted}, found "
            f"{len(every)} files, {there}; give the folder of the files, and the lists of this set"
        )
    labels = {file.label for file in found}.union(
        told["label"][0] for told in catalogue.facts.values()
    )
    classes = catalogue.classes or sorted(labels - {""})
    _write(out, folder, found, catalogue.columns, classes)
    missing = f"{out[: -len('.csv')]}.missing.txt"
    absent = sorted(catalogue.facts.keys() - {file.name for file in found})
    if os.path.exists(missing):
        os.remove(missing)
    if absent:
        with open(missing, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(f"{name}\n" for name in absent)
    lines = summary(dataset, catalogue, found, classes, missing)
    if len(paths) > len(found):
        rest = len(paths) - len(found)
        lines.append(f"{rest:,} files left out: not listed, or a second copy")
    return "\n".join([*lines, out])


def _list_files(lists: list[str]) -> list[str]:
    """Returns the files, and those directly inside the folders."""
    files = []
    for path in lists:
        if os.path.isdir(path):
            inside = sorted(os.path.join(path, name) for name in os.listdir(path))
            files += [name for name in inside if name.endswith((".txt", ".csv", ".mat"))]
        elif os.path.isfile(path):
            files.append(path)
        else:
            raise InputError(f"--lists={path}: no such file or folder")
    return files


def _write(
    out: str, folder: str, found: list[Found], columns: tuple[str, ...], classes: list[str]
) -> None:
    """Writes the CSV, completely or not at all; paths are relative to it, or absolute elsewhere."""
    home = os.path.dirname(os.path.abspath(out))
    folder = os.path.abspath(folder)
    inside = os.path.commonpath((home, folder)) == home
    start = os.path.relpath(folder, home) if inside else folder
    number: dict[str, int | str] = {name: index for index, name in enumerate(classes)}
    extra = columns if columns != ("split",) else ()
    os.makedirs(home, exist_ok=True)
    how = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    with files.whole(out) as part, open(part, "w", **how) as file:
        table = csv.writer(file)
        table.writerow(("path", "label", "split", "class_index", *extra))
        for video in found:
            path = os.path.normpath(os.path.join(start, video.path)).replace(os.sep, "/")
            splits = (video.splits[0], number.get(video.label, ""), *video.splits[: len(extra)])
            table.writerow((path, video.label, *splits))


def main() -> None:
    """Runs `list_dataset` from the flags."""
    given = flags.FLAGS
    print(list_dataset(given.dataset, given.videos, given.lists, given.out))


if __name__ == "__main__":
    flags.DEFINE_enum("dataset", None, list(DATASETS), "The data set.", required=True)
    flags.DEFINE_string("videos", None, "Folder of the videos or images.", required=True)
    flags.DEFINE_list("lists", [], "The official lists: files, or folders that contain them.")
    flags.DEFINE_string("out", None, "The CSV to write.", required=True)
    command.run("data_prep.datasets", main)
