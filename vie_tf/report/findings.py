"""Results of runs' evaluations, from their results.jsonl."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from vie_tf.errors import InputError
from vie_tf.evaluation.class_recall import AT
from vie_tf.runs import results, workdir

# Settings of an evaluation in which several of one kind may differ.
_SETTINGS = (
    "k temperature searched clips ten_crop cached steps augmentation frames_of start label_column"
).split()


TOP_5 = " top 5"  # after a column's name: how often the class was among five


@dataclasses.dataclass(frozen=True)
class Finding:
    """A line of a run's results.jsonl.

    Attributes:
        folder: of the run.
        run: its flags.txt.
        data: its data.json.
        kind: of evaluation.
        values: of the line.
        when: when the run was last evaluated, and line number: the larger, the newer.
    """

    folder: Path
    run: dict[str, str]
    data: dict
    kind: str
    values: dict
    when: tuple[int, int] = (0, 0)

    @property
    def second_folder(self) -> Path | None:
        """Folder of the second stream's run, None if the evaluation names none."""
        named = self.values.get("second_workdir")
        return place(named, self.folder) if named else None

    @property
    def second(self) -> str:
        """Family of the second stream, '' if there is none."""
        if name := self.values.get("second_family"):
            return name
        if "+" in self.run["family"]:
            return self.run["family"].split("+")[1]
        try:
            return workdir.read_flags(self.second_folder)["family"] if self.second_folder else ""
        except InputError:
            return "?"

    @property
    def fold(self) -> str:
        """Column of the split used for evaluation; '' for the first."""
        return fold(self.values.get("split_column", "split"))


def fold(column: str) -> str:
    """Returns the column of a split; '' for the first, the default if there are several."""
    return "" if column in ("split", "split1") else column


def place(named: str, *by: Path) -> Path:
    """Finds a run that another one names: at its path, or where both were moved to.

    Args:
        named: its folder, as given in the other one's flags or results.
        by: folders of the other one and of those that started from it; the run is none of them.

    Returns:
        If the path is gone, the folder found by its longest end in a folder above the other one,
        the nearest first; the path itself if none is found.
    """
    path, *others = (Path(os.path.abspath(folder)) for folder in (named, *by))
    ends = (Path(*path.parts[first:]) for first in range(1, len(path.parts)))
    moved = (above / end for end in ends for above in others[0].parents)
    there = (p for p in itertools.chain([path], moved) if os.path.exists(p / "flags.txt"))
    return next((p for p in there if p not in others), path)


def gather(places: Sequence[str]) -> list[Finding]:
    """Collects all results of the runs in some folders, at any depth.

    Raises:
        InputError: a folder does not exist, or none of them holds results.
    """
    found = []
    for place in places:
        if not Path(place).is_dir():
            raise InputError(f"--workdirs: {place} is not a folder; give folders of runs")
        for file in sorted(Path(place).rglob(results.FILE)):
            folder = file.parent
            run, data = workdir.read_flags(folder), workdir.read_data(folder)
            changed = file.stat().st_mtime_ns
            for line, values in enumerate(results.read(folder)):
                found.append(Finding(folder, run, data, values["kind"], values, (changed, line)))
    if not found:
        raise InputError(
            f"--workdirs={','.join(places)}: no {results.FILE} in there; evaluate runs first, such "
            "as with --mode=knn"
        )
    return list({(f.folder.resolve(), str(f.values)): f for f in found}.values())


def settings(found: Finding) -> dict[str, str]:
    """Returns the settings of the evaluation, as text."""
    kept = {name: found.values[name] for name in _SETTINGS if name in found.values}
    kept |= found.values.get("learning", {})
    return {name: str(value) for name, value in {**kept, "second": found.second}.items()}


def latest(findings: Iterable[Finding]) -> list[Finding]:
    """Returns the last one of each evaluation that a run had several times with equal settings.

    Those of an earlier step are left out; read-outs of different taps are merged.
    """
    kept: dict[tuple, Finding] = {}
    for found in findings:
        same = tuple(sorted(settings(found).items()))
        of = (found.values.get("fingerprint"), found.second_folder)
        key = (found.folder.resolve(), found.kind, *of, same)
        if key in kept and found.kind == "readout":
            before = kept[key].values
            if before.get("step") == found.values.get("step"):
                taps = {**before["taps"], **found.values["taps"]}
                found = dataclasses.replace(found, values={**found.values, "taps": taps})
        kept[key] = found
    return list(kept.values())


def measures(found: Finding) -> dict[str, dict[str, float]]:
    """Returns what is shown of an evaluation: column -> `top1` and its interval, 0 to 1."""
    values = found.values
    if found.kind == "readout":
        taps = values["taps"]
        return {**taps, **{tap + TOP_5: _top5(x) for tap, x in taps.items()}}
    if found.kind == "retrieval":
        shown = {f"class recall at {k}": {"top1": values[f"class_recall_at_{k}"]} for k in AT}
        for end in ("low", "high"):
            shown["class recall at 1"][f"top1_{end}"] = values[f"class_recall_at_1_{end}"]
        return {**shown, "mean average precision": {"top1": values["map"]}}
    if found.kind == "knn":
        return {f"{values['k']}-NN": values, f"{values['k']}-NN{TOP_5}": _top5(values)}
    shown = {"top-1": values, "top-5": _top5(values)}
    if "best_top1" in values:
        best = {f"top1{end}": values.get(f"best_top1{end}") for end in ("", "_low", "_high")}
        shown["top-1 at its best"] = best
    return shown


def _top5(values: dict) -> dict[str, float | None]:
    """Returns the top-5 accuracy under the names of `top1`."""
    return {f"top1{end}": values.get(f"top5{end}") for end in ("", "_low", "_high")}
