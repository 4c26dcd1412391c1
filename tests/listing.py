"""Miniature trees of what people download, and what `data_prep.datasets` lists of them."""

from __future__ import annotations

import csv
from pathlib import Path

from data_prep.datasets import list_dataset

UCF = {
    # In classInd.txt Hammering comes before HammerThrow, and HandstandPushups has files with a
    # large S.
    "Hammering": ("v_Hammering_g01_c01", "v_Hammering_g02_c01"),
    "HammerThrow": ("v_HammerThrow_g01_c01", "v_HammerThrow_g02_c01"),
    "HandstandPushups": ("v_HandStandPushups_g01_c01", "v_HandStandPushups_g02_c01"),
}


def tree(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"")
    return folder


def text(path: Path, *lines: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\r\n" for line in lines))  # as UCF101's lists end
    return str(path)


def listed(dataset: str, folder: Path, *lists, out: Path | None = None):
    """Rows of the CSV by path, and the lines printed."""
    out = out or folder / "out.csv"
    said = list_dataset(dataset, str(folder), [str(path) for path in lists], str(out))
    with open(out, newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}, said.splitlines()


def brief(rows, *columns):
    return {path: tuple(row[column] for column in columns) for path, row in rows.items()}


def ucf101(folder: Path) -> Path:
    lists = folder / "ucfTrainTestlist"
    text(lists / "classInd.txt", *(f"{n} {name}" for n, name in enumerate(UCF, start=1)))
    for split, (train, test) in (("1", (0, 1)), ("2", (1, 0)), ("3", (0, 1))):
        names = [
            f"{label}/{files[train]}.avi {n}" for n, (label, files) in enumerate(UCF.items(), 1)
        ]
        text(lists / f"trainlist0{split}.txt", *names)
        names = [f"{label}/{files[test]}.avi" for label, files in UCF.items()]
        text(lists / f"testlist0{split}.txt", *names)
    return lists
