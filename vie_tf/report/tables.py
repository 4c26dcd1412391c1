"""Tables of results: the paper's, and one for each other data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vie_tf.report import paper
from vie_tf.report.experiment import experiment
from vie_tf.report.findings import TOP_5, Finding, measures
from vie_tf.report.names import without_shared


@dataclasses.dataclass(frozen=True)
class Cell:
    """The results of one or several runs that differ only in their seeds.

    Attributes:
        values: 0 to 1, one for each run.
        interval: of a single value, over videos, if it has one.
        findings: where they are from.
    """

    values: tuple[float, ...]
    interval: tuple[float, float] | None
    findings: tuple[Finding, ...]

    @property
    def ends(self) -> tuple[float, float] | None:
        """Smallest and largest of several values; the 95 % interval of a single one."""
        return (min(self.values), max(self.values)) if len(self.values) > 1 else self.interval

    def __str__(self) -> str:
        """The mean in percent, with the ends in brackets."""
        text = f"{100 * np.mean(self.values):.1f}"
        return text + (f" ({100 * self.ends[0]:.1f}–{100 * self.ends[1]:.1f})" if self.ends else "")


Table = dict[str, dict[str, Cell]]  # row -> column -> cell


def cell(found: Sequence[tuple[Finding, dict[str, float]]]) -> Cell:
    """Makes a cell from the results of some runs."""
    first = found[0][1]
    interval = None
    if first.get("top1_low") is not None and len(found) == 1:
        interval = (first["top1_low"], first["top1_high"])
    values = tuple(values["top1"] for _, values in found)
    return Cell(values, interval, tuple(finding for finding, _ in found))


def in_the_paper(findings: Sequence[Finding]) -> tuple[dict[str, Table], list[Finding]]:
    """Returns the paper's tables, by number, as far as runs fill them, and the other results.

    A cell shows one experiment, the newest; others that would fill it go to the other tables.
    """
    filled: dict[tuple, dict[tuple, list]] = {}
    for found in findings:
        evaluated = [str(found.values.get(name)) for name in ("fingerprint", "label_column")]
        alike = (*evaluated, *sorted(experiment(found).items()))
        for table, row, column, measure in paper.cells(found):
            groups = filled.setdefault((table, row, column), {})
            groups.setdefault(alike, []).append((found, measure))
    tables: dict[str, Table] = {}
    shown: dict[int, set[str]] = {}
    for (table, row, column), groups in sorted(filled.items(), key=lambda item: item[0][0]):
        newest = max(groups.values(), key=lambda group: max(found.when for found, _ in group))
        own = tables.setdefault(table, {}).setdefault(row, {})
        for more in ("", TOP_5):
            there = [(found, measures(found).get(measure + more)) for found, measure in newest]
            if all(values for _, values in there):
                own[column + more] = cell(there)
        for found, measure in newest:
            shown.setdefault(id(found), set()).add(measure)
    rest = [_without(found, shown.get(id(found), set())) for found in findings]
    return tables, [found for found in rest if found]


def _without(found: Finding, shown: set[str]) -> Finding | None:
    """Returns what is left of a result without the measures shown: other taps of a read-out."""
    if not shown:
        return found
    taps = {tap: x for tap, x in found.values.get("taps", {}).items() if tap not in shown}
    return dataclasses.replace(found, values={**found.values, "taps": taps}) if taps else None


def others(findings: Iterable[Finding]) -> dict[tuple[str, str], Table]:
    """Returns tables of results not in the paper's tables: (data, kind) -> row -> column -> cell.

    A label column other than `label`, a fold other than the first, and flags that all rows share
    are added to the name of the data. A row is a network; runs that differ only in their seeds
    share one, others are named by their differences.
    """
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    names: dict[str, str] = {}
    for found in findings:
        fingerprint = str(found.values.get("fingerprint"))
        data = f"{'/'.join(Path(found.values['data']).parts[-2:])} ({fingerprint})"
        data += f", {found.fold}" if found.fold else ""
        names[fingerprint] = data  # for a set that was moved, the last place
        labels = found.values["label_column"]
        groups.setdefault((fingerprint, labels, found.kind), []).append(found)
    tables = {}
    for (fingerprint, labels, kind), group in groups.items():
        keys = [experiment(found) for found in group]
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
        shared, short = without_shared(list(table))
        which = ("" if labels == "label" else f", {labels}") + (shared and f",{shared}")
        tables[names[fingerprint] + which, kind] = dict(zip(short, table.values()))
    return tables
