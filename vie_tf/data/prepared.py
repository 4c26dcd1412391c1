"""The prepared container: JPEG frames of many videos in a few TFRecord files, with an index.

    dataset.json            format, version, the request, counts, bytes of each shard
    frames-00000.tfrecord   one record for each frame: a bare JPEG; about 1 GB per file
    index.npz               where each frame is
    manifest.csv            every input video: kept or skipped, and why

A record is 12 bytes (length, its CRC), the JPEG, and 4 bytes (its CRC), so a frame is read, and
checked, by one request for its own bytes, wherever it is stored. All frames of a video are in one
shard, in order; a frame shown twice is stored once.
"""

from __future__ import annotations

import csv
import io
import json
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import google_crc32c
import numpy as np

from vie_tf.data import files
from vie_tf.errors import InputError, reason

FORMAT = "vie_tf prepared videos"
VERSION = 1


def record(data: bytes) -> bytes:
    """Returns a TFRecord: length, its masked CRC, data, its masked CRC."""

    def masked(part: bytes) -> bytes:
        crc = google_crc32c.value(part)
        return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(data))
    return b"".join((length, masked(length), data, masked(data)))


def shard_name(number: int) -> str:
    """Returns the file name of a shard."""
    return f"frames-{number:05d}.tfrecord"


def is_prepared(folder: str) -> bool:
    """Returns whether a folder is a finished prepared set."""
    return files.size(os.path.join(folder, "dataset.json")) is not None


def is_begun(folder: str) -> bool:
    """Returns whether a folder is an unfinished prepared set."""
    return files.size(os.path.join(folder, "journal.jsonl")) is not None


def read_description(folder: str, shards: bool = True) -> dict[str, Any]:
    """Reads dataset.json of a prepared set, checked against the files beside it.

    Args:
        folder: of the set.
        shards: whether the shards are checked too; otherwise see `wrong_shards`.

    Raises:
        InputError: format or version differ; a shard or the index is missing, cut off or too long.
    """
    again = "prepare it again with data_prep.videos"
    try:
        description = json.loads(files.read(os.path.join(folder, "dataset.json")))
        name, version = description["format"], description["version"]
        sizes = dict(description["files"])
        description["request"]["fps"]
    except OSError as error:
        check = "check the address" if files.is_remote(folder) else again
        raise InputError(
            f"{folder}: dataset.json cannot be read ({reason(error)}); {check}"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder}: dataset.json cannot be read ({error!r}); {again}") from error
    if (name, version) != (FORMAT, VERSION):
        raise InputError(
            f"{folder}: {name!r} version {version}, this program reads version {VERSION}; {again}"
        )
    checked = {file: size for file, size in sizes.items() if shards or not _is_shard(file)}
    for file, what, _ in _wrong(folder, checked):
        raise InputError(f"{folder}: {file} {what}; copy it again, or {again}")
    return description


def wrong_shards(folder: str, sizes: dict[str, int]) -> list[tuple[str, str, int]]:
    """Finds shards that are missing, cut off or too long.

    Args:
        folder: of a prepared set.
        sizes: bytes of each of its files, by its name.

    Returns:
        Name, what is wrong in words, bytes present.
    """
    return _wrong(folder, {file: size for file, size in sizes.items() if _is_shard(file)})


def _is_shard(name: str) -> bool:
    return name.endswith(".tfrecord")


def _wrong(folder: str, sizes: dict[str, int]) -> list[tuple[str, str, int]]:
    """As `wrong_shards`, for any files."""
    with ThreadPoolExecutor(32) as pool:  # on a remote file system each one is a request
        found = list(pool.map(files.size, [os.path.join(folder, name) for name in sizes]))
    return [
        (name, "is missing" if size is None else f"has {size} bytes instead of {wanted}", size or 0)
        for (name, wanted), size in zip(sizes.items(), found)
        if size != wanted
    ]


def read_index(folder: str) -> dict[str, np.ndarray]:
    """Reads the index of a prepared set.

    Returns:
        shard: int32 [N], start: int64 [N], bytes before the video in its shard, first: int64
        [N+1], first row of the video in offset, offset: int32 [all frames], bytes from the video's
        start to the frame's record, size: int32 [N, 2], height and width in pixels.
    """
    names = ("shard", "start", "first", "offset", "size")
    try:
        with np.load(io.BytesIO(files.read(os.path.join(folder, "index.npz")))) as arrays:
            return {name: arrays[name] for name in names}
    except Exception as error:  # on damaged bytes, zipfile and NumPy raise nearly anything
        raise InputError(
            f"{folder}: index.npz cannot be read; copy it again, or prepare again"
        ) from error


def read_manifest(folder: str) -> list[dict[str, str]]:
    """Returns the rows of manifest.csv, in the source's order.

    Raises:
        InputError: the file is damaged.
    """
    damaged = f"{folder}: manifest.csv is damaged; copy it again, or prepare again"
    try:
        table = files.read(os.path.join(folder, "manifest.csv"))
        text = io.TextIOWrapper(io.BytesIO(table), "utf-8", "surrogateescape", newline="")
        rows = list(csv.DictReader(text))
        kept = [row for row in rows if row["status"] == "kept"]
        sound = (
            # A row with too few or too many fields has None among its values or its names.
            all(None not in row and None not in row.values() for row in rows)
            and [row["index"] for row in kept] == [str(number) for number in range(len(kept))]
            and all(row["path"] and int(row["source_bytes"]) > 0 for row in kept)
            and {row["split"] for row in rows} <= {"train", "test", ""}
        )
    except (OSError, csv.Error, KeyError, ValueError) as error:
        raise InputError(damaged) from error
    if not sound:
        raise InputError(damaged)
    return rows
