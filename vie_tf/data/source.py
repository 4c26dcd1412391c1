"""Lists the videos of a folder or a CSV, before any of them is opened."""

from __future__ import annotations

import csv
import io
import os
import posixpath
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field

from vie_tf.data import files, prepared
from vie_tf.data.image_file import IMAGES
from vie_tf.errors import InputError

SPLITS = ("train", "test", "")
_COLUMNS = ("path", "label", "split")  # of a CSV; others are kept with the video
# Files found beside videos that are not videos; everything else is tried.
BESIDE = IMAGES.union(
    ".csv .tsv .txt .md .rst .json .jsonl .yaml .yml .xml .html .log .py .sh .pdf .npy .npz .pkl "
    ".h5 .tfrecord .zip .tar .gz .tgz .srt .vtt .ass .nfo .db .ini .part".split()
)


@dataclass(frozen=True)
class SourceVideo:
    """One video of a source: where the file is, and what is known without opening it."""

    id: str
    path: str
    label: str = ""
    split: str = ""
    extra: dict[str, str] = field(default_factory=dict)


def list_source(
    data: str, label_column: str = "label", split_column: str = "split", leave_out: str = ""
) -> list[SourceVideo]:
    """Lists the videos of a folder or CSV, without opening them.

    Args:
        data: the folder or CSV; a CSV may be remote, and name remote files.
        label_column: the CSV's column with the label.
        split_column: the CSV's column with the split.
        leave_out: a folder inside `data` that is not searched.

    Raises:
        InputError: it does not exist, holds no videos, or the CSV breaks a rule.
    """
    if os.path.isdir(data):
        for flag, column in (("label", label_column), ("split", split_column)):
            if column != flag:
                raise InputError(f"--{flag}_column={column}: {data} is a folder; give a CSV")
        return _list_folder(data, leave_out)
    if files.is_remote(data):
        if not data.lower().endswith(".csv"):
            raise InputError(f"{data}: folders are not listed there; give the address of a .csv")
    elif not os.path.exists(data):
        raise InputError(f"{data}: no such folder or CSV; give a folder of videos or a CSV")
    elif not data.lower().endswith(".csv"):
        raise InputError(f"{data}: neither a folder nor a .csv; give a folder of videos or a CSV")
    return _list_csv(data, label_column, split_column)


def files_in(folder: str, leave_out: str = "") -> Iterator[str]:
    """Yields paths below a folder, relative, with slashes; no hidden files or prepared videos."""
    left_out, seen = os.path.realpath(leave_out or os.devnull), set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        ours = parent != folder and (prepared.is_prepared(parent) or prepared.is_begun(parent))
        if real in seen or real == left_out or ours:  # links can be circular
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield os.path.relpath(os.path.join(parent, name), folder).replace(os.sep, "/")


def extension(path: str) -> str:
    """Returns a file name's extension, in lower case, with its dot."""
    return os.path.splitext(path)[1].lower()


def _list_folder(folder: str, leave_out: str) -> list[SourceVideo]:
    found = sorted(name for name in files_in(folder, leave_out) if extension(name) not in BESIDE)
    if not found:
        raise InputError(f"{folder}: no videos in this folder; give a folder of videos or a CSV")
    return [
        SourceVideo(name, os.path.join(folder, name), name.split("/")[0] if "/" in name else "")
        for name in found
    ]


def _list_csv(path: str, label_column: str, split_column: str) -> list[SourceVideo]:
    try:
        text = files.read(path).decode("utf-8-sig", "surrogateescape")
        table = csv.DictReader(io.StringIO(text, newline=""))
        names = [(name or "").strip() for name in table.fieldnames or []]
        columns = [name.lower() if name.lower() in _COLUMNS else name for name in names]
        table.fieldnames = columns
        rows = list(table)
    except (OSError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error})") from error
    if "path" not in columns:
        found = f"{', '.join(columns) or 'none'}"
        found = found if len(found) <= 80 else f"{found[:80]}…"
        raise InputError(
            f'{path}: has no column "path" (found: {found}); its first line names the columns, '
            "with commas between them"
        )
    for column, default in ((label_column, "label"), (split_column, "split")):
        if column != default and column not in columns:
            raise InputError(f'{path}: has no column "{column}" (found: {", ".join(columns)})')
    videos, lines = [], {}
    for line, row in enumerate(rows, start=2):
        name = (row["path"] or "").strip()
        if not files.is_remote(name):
            name = posixpath.normpath(name.replace(os.sep, "/"))
        split = (row.get(split_column) or "").strip()
        if name == ".":
            raise InputError(f"{path}: row {line} has no path; fill it in or delete the row")
        if name in lines:
            raise InputError(
                f"{path}: rows {lines[name]} and {line} are the same path {name}; delete one"
            )
        if split not in SPLITS:
            raise InputError(
                f"{path}: row {line}: {split_column} is {split!r}; use train, test or nothing"
            )
        lines[name] = line
        extra = {key: row[key] or "" for key in columns if key and key not in _COLUMNS}
        label = (row.get(label_column) or "").strip()
        videos.append(SourceVideo(name, _beside(path, name), label, split, extra))
    if not videos:
        raise InputError(f'{path}: has no rows; list videos in its column "path"')
    return videos


def _beside(table: str, name: str) -> str:
    """Returns the path of a file that a CSV names; a relative name is in the CSV's folder."""
    if files.is_remote(name):
        return name
    if os.path.isabs(name) or not files.is_remote(table):
        return os.path.join(os.path.dirname(table), name)
    scheme, _, rest = table.partition("://")
    if files.is_web(table):  # where # and % would not be part of a name
        name = urllib.parse.quote(name, errors="surrogateescape")
    return f"{scheme}://{posixpath.normpath(posixpath.join(posixpath.dirname(rest), name))}"
