"""Tables as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np

from vie_tf.report import paper
from vie_tf.report.findings import TOP_5
from vie_tf.report.names import model
from vie_tf.report.tables import Cell, Table

KINDS = {
    "knn": "k-NN",
    "retrieval": "Retrieval",
    "readout": "Linear read-out",
    "supervised": "Supervised training",
    "finetune": "Fine-tuning",
}


def markdown(tables: dict[str, Table], plain: dict[tuple[str, str], Table]) -> str:
    """Returns all tables as text."""
    lines = ["# Results", ""]
    lines += [
        "All numbers are percentages. Ours is the mean over the runs, in brackets the smallest and "
        "the largest; of a single run, its 95 % interval over the test videos.",
        "",
    ]
    if not tables:
        lines += ["No run fills a table of the paper.", ""]
    elif missing := [name for name in paper.TITLES if name not in tables]:
        lines += [f"Of the paper's tables, no run fills {', '.join(missing)}.", ""]
    for name, table in tables.items():
        lines += [f"## Table {name} of the paper: {paper.TITLES[name]}", ""]
        lines += [*_paper_lines(paper.numbers()[name], table), ""]
        lines += [*_sources(table, aside=TOP_5), ""]
    for (data, kind), table in plain.items():
        lines += [f"## {KINDS.get(kind, kind)}: {data}", ""]
        columns = list(dict.fromkeys(column for row in table.values() for column in row))
        columns.sort(key=lambda column: column.endswith(TOP_5))
        body = [[row, *(cells.get(x, "") for x in columns)] for row, cells in table.items()]
        lines += _rows(["", *columns], body)
        lines += ["", *_sources(table), ""]
    return "\n".join(lines)


def _paper_lines(numbers: dict[str, dict[str, str]], table: Table) -> list[str]:
    longest = sorted(numbers.values(), key=len, reverse=True)  # it has them in the paper's order
    columns = list(dict.fromkeys(column for row in longest for column in row))
    head = [""] + [f"{column}, {whose}" for column in columns for whose in ("paper's", "ours")]
    body = []
    for row, printed in numbers.items():
        ours = table.get(row, {})
        body.append([row, *(x for c in columns for x in (printed.get(c, ""), ours.get(c, "")))])
    return _rows(head, body)


def _rows(head: Sequence[str], body: Iterable[Sequence]) -> list[str]:
    lines = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(str(x).replace("|", "\\|") for x in line) + " |" for line in lines]


def _sources(table: Table, aside: str = "") -> list[str]:
    """Describes the runs in a table, and how long they were trained.

    Args:
        table: whose rows are described.
        aside: ending of the columns that are listed here instead of in the table.
    """
    lines = []
    for row, columns in table.items():
        runs, others = {}, []
        for column, part in columns.items():
            if aside and column.endswith(aside):
                others.append(f"{column} {part}")
            for found in part.findings:
                values = found.values
                quoted = f"ours is {model(found)}, " if row in paper.QUOTED.values() else ""
                runs[str(found.folder)] = (
                    f"{found.folder} ({quoted}seed {found.run.get('seed')}, step "
                    f"{values.get('step')}, {values.get('videos')} test videos)"
                )
        lines.append(f"* {row}: {'; '.join(runs.values())}" + "".join(f"; {x}" for x in others))
    return lines


def comma_separated(tables: dict[str, Table], plain: dict[tuple[str, str], Table]) -> str:
    """Returns all cells of all tables, one per line; shares in 0 to 1, also the paper's.

    If runs fill a cell of the paper, all of its cells are included, otherwise none.
    """
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    head = "table row column papers ours low high ends runs folders"
    lines.writerow(head.split())

    def write(name: str, row: str, column: str, printed: str, found: Cell | None) -> None:
        line = [name, row, column, f"{float(printed) / 100:.4f}" if printed else ""]
        if found:
            ends = [f"{end:.6f}" for end in found.ends] if found.ends else ["", ""]
            what = "range" if len(found.values) > 1 else "95 % interval" if found.ends else ""
            line += [f"{np.mean(found.values):.6f}", *ends, what, len(found.values)]
            line.append(";".join(str(source.folder) for source in found.findings))
        lines.writerow(line + [""] * (len(head.split()) - len(line)))

    for name, printed in paper.numbers().items() if tables else ():
        table = tables.get(name, {})
        for row in dict.fromkeys([*printed, *table]):
            numbers, ours = printed.get(row, {}), table.get(row, {})
            for column in dict.fromkeys([*numbers, *ours]):
                write(f"Table {name}", row, column, numbers.get(column, ""), ours.get(column))
    for (data, kind), table in plain.items():
        for row, columns in table.items():
            for column, found in columns.items():
                write(f"{KINDS.get(kind, kind)}: {data}", row, column, "", found)
    return out.getvalue()
