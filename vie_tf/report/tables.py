"""Tables of what runs found: the paper's, and one for each other data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vie_tf import workdir
from vie_tf.config import FLAGS, RUN
from vie_tf.data.augmentation import AUGMENTATIONS
from vie_tf.report import paper
from vie_tf.report.findings import Finding, measures, settings

# Flags that do not tell two runs apart as experiments, or are told otherwise.
_SAME = {*workdir.FREE, "seed", "start_from", "second_workdir", "label_column"} - {"steps"}


@dataclasses.dataclass(frozen=True)
class Cell:
    """What one or several runs, alike but for their seeds, found.

    Attributes:
        values: 0 to 1, one for each run.
        interval: of the only one, over videos, where it has one.
        findings: where they are from.
    """

    values: tuple[float, ...]
    interval: tuple[float, float] | None
    findings: tuple[Finding, ...]

    @property
    def ends(self) -> tuple[float, float] | None:
        """Smallest and largest of several; of one its 95 % interval."""
        return (min(self.values), max(self.values)) if len(self.values) > 1 else self.interval

    def __str__(self) -> str:
        """In percent: the mean, and in brackets the ends."""
        text = f"{100 * np.mean(self.values):.1f}"
        return text + (f" ({100 * self.ends[0]:.1f}–{100 * self.ends[1]:.1f})" if self.ends else "")


Table = dict[str, dict[str, Cell]]  # row -> column -> cell


def cell(found: Sequence[tuple[Finding, dict[str, float]]]) -> Cell:
    """One cell of what some runs found."""
    first = found[0][1]
    interval = None
    if first.get("top1_low") is not None and len(found) == 1:
        interval = (first["top1_low"], first["top1_high"])
    values = tuple(values["top1"] for _, values in found)
    return Cell(values, interval, tuple(finding for finding, _ in found))


def in_the_paper(findings: Iterable[Finding]) -> tuple[dict[str, Table], list[Finding]]:
    """The paper's tables as far as runs fill them, by their number; and what is in none of them."""
    filled: dict[tuple, list] = {}
    rest = []
    for found in findings:
        places = list(paper.cells(found))
        for table, row, column, values in places:
            filled.setdefault((table, row, column), []).append((found, values))
        if not places:
            rest.append(found)
    tables: dict[str, Table] = {}
    for (table, row, column), values in sorted(filled.items(), key=lambda item: item[0][0]):
        tables.setdefault(table, {}).setdefault(row, {})[column] = cell(values)
    return tables, rest


def others(findings: Iterable[Finding]) -> dict[tuple[str, str], Table]:
    """What is in no table of the paper: (data, kind) -> row -> column -> cell.

    Labels of another column than `label` are told in the name of the data. A row is a network; runs
    that differ in no more than their seed share one, others are told apart by what they differ in.
    """
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    names: dict[str, str] = {}
    for found in findings:
        fingerprint = str(found.values.get("fingerprint"))
        data = f"{'/'.join(Path(found.values['data']).parts[-2:])} ({fingerprint})"
        names[fingerprint] = data  # of one set that was moved, the last place
        labels = found.values["label_column"]
        groups.setdefault((fingerprint, labels, found.kind), []).append(found)
    tables = {}
    for (fingerprint, labels, kind), group in groups.items():
        keys = [_experiment(found) for found in group]
        rows: dict[str, list[Finding]] = {}
        for found, key in zip(group, keys):
            alike = [other for other in keys if other["name"] == key["name"]]
            differ = sorted(
                name for name in key if len({other.get(name, "") for other in alike}) > 1
            )
            said = "".join(f" --{name}={key[name]}" for name in differ)
            rows.setdefault(key["name"] + said, []).append(found)
        table: Table = {}
        for row, same in rows.items():
            shown = [(found, measures(found)) for found in same]
            for column in dict.fromkeys(name for _, values in shown for name in values):
                there = [(found, values[column]) for found, values in shown if column in values]
                table.setdefault(row, {})[column] = cell(there)
        which = "" if labels == "label" else f", {labels}"
        tables[names[fingerprint] + which, kind] = table
    return tables


def _experiment(found: Finding) -> dict[str, str]:
    """What makes two results those of different experiments, but for the seed."""
    # A run from before there was a flag had what is its default now.
    run = {name: workdir.text(FLAGS[name].default) for name in RUN} | found.run
    run = {name: value for name, value in run.items() if name not in _SAME}
    usual = AUGMENTATIONS[run["augmentation"]].colour.strengths
    if run["colour_noise"] == workdir.text(usual):  # which the augmentation tells
        run["colour_noise"] = ""
    trained_on = {"trained on": str(found.data.get("fingerprint"))}
    own = ("k", "start", "label_column")
    how = {name: value for name, value in settings(found).items() if name not in own}
    return {"name": paper.model(found), **run, **trained_on, **how}
