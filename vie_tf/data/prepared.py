"""The prepared container: JPEG frames of many videos in a few TFRecord files, with an index.

    dataset.json            format, version, what was asked for, counts, bytes of each shard
    frames-00000.tfrecord   one record for each frame: a bare JPEG; about 1 GB a file
    index.npz               where each frame lies
    manifest.csv            every input video: kept or skipped, and why

A record is 12 bytes (length, its CRC), the JPEG, and 4 bytes (its CRC), so a frame is read, and
checked, by one request for its own bytes, from any file system TensorFlow knows. All frames of a
video lie in one shard, in order; a frame shown twice is stored once.
"""

from __future__ import annotations

import csv
import io
import json
import os
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from vie_tf.data import files
from vie_tf.errors import InputError, reason

if TYPE_CHECKING:
    import tensorflow as tf

FORMAT = "vie_tf prepared videos"
VERSION = 1


def record(data: bytes) -> bytes:
    """One TFRecord: length, masked CRC of it, data, masked CRC of it."""

    def masked(part: bytes) -> bytes:
        crc = google_crc32c.value(part)
        return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(data))
    return b"".join((length, masked(length), data, masked(data)))


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"frames-{number:05d}.tfrecord"


def is_prepared(folder: str) -> bool:
    """Whether a folder is a finished prepared set."""
    return files.size(os.path.join(folder, "dataset.json")) is not None


def is_begun(folder: str) -> bool:
    """Whether a folder is a prepared set that is not finished."""
    return files.size(os.path.join(folder, "journal.jsonl")) is not None


def read_description(folder: str) -> dict[str, Any]:
    """dataset.json of a prepared set, checked against the files beside it.

    Raises:
        InputError: other format or version, a shard or the index missing, cut off or too long.
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
    with ThreadPoolExecutor(32) as pool:  # on a remote file system each one is a request
        found = list(pool.map(files.size, [os.path.join(folder, name) for name in sizes]))
    for file_name, expected, size in zip(sizes, sizes.values(), found):
        if size != expected:
            what = "is missing" if size is None else f"has {size} bytes instead of {expected}"
            raise InputError(f"{folder}: {file_name} {what}; copy it again, or {again}")
    return description


def read_index(folder: str) -> dict[str, np.ndarray]:
    """The index of a prepared set.

    Returns:
        shard: int32 [N], start: int64 [N], bytes before the video in its shard, first: int64
        [N+1], first row of the video in offset, offset: int32 [all frames], bytes from the video's
        start to the frame's record, size: int32 [N, 2], height and width in pixels.
    """
    names = ("shard", "start", "first", "offset", "size")
    try:
        with np.load(io.BytesIO(files.read(os.path.join(folder, "index.npz")))) as arrays:
            return {name: arrays[name] for name in names}
    except Exception as error:  # of damaged bytes, zipfile and NumPy raise nearly anything
        raise InputError(
            f"{folder}: index.npz cannot be read; copy it again, or prepare again"
        ) from error


def read_manifest(folder: str) -> list[dict[str, str]]:
    """Rows of manifest.csv, in the source's order.

    Raises:
        InputError: it cannot be what was written.
    """
    damaged = f"{folder}: manifest.csv is damaged; copy it again, or prepare again"
    try:
        table = files.read(os.path.join(folder, "manifest.csv"))
        text = io.TextIOWrapper(io.BytesIO(table), "utf-8", "surrogateescape", newline="")
        rows = list(csv.DictReader(text))
        kept = [row for row in rows if row["status"] == "kept"]
        sound = (
            # A row of too few or too many fields has None among its values or its names.
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


def record_lengths(index: dict[str, np.ndarray], sizes: dict[str, int]) -> np.ndarray:
    """Bytes of the record of each frame, int32 [all frames], in the order of the index's `offset`.

    Args:
        index: from `read_index`.
        sizes: bytes of each shard, by its name.
    """
    frames = np.diff(index["first"])
    where = np.repeat(index["start"], frames) + index["offset"]
    shard = np.repeat(index["shard"], frames)
    # A record ends where the next one begins, or the shard ends; the same frame shown again is no
    # next one.
    last = np.append(np.flatnonzero((np.diff(where) != 0) | (np.diff(shard) != 0)), len(where) - 1)
    ends = np.append(where[last[:-1] + 1], 0)
    ending = np.append(shard[last[:-1] + 1] != shard[last[:-1]], True)
    ends[ending] = [sizes[shard_name(number)] for number in shard[last[ending]]]
    return np.repeat(ends - where[last], np.diff(last, prepend=-1)).astype(np.int32)


def frame_reader(
    folder: str, index: dict[str, np.ndarray], ids: list[str], sizes: dict[str, int]
) -> Callable:
    """Reading of prepared frames in TensorFlow ops.

    Reads only the records of the frames asked for: one request of the JPEG's size + 16 bytes each.

    Args:
        folder: of the prepared set, local or remote.
        index: from `read_index`.
        ids: names of the videos, for the message when a record is damaged.
        sizes: bytes of each shard, by its name.

    Returns:
        read(number int64 [], frames int64 [T], box int32 [4] = top, left, height, width) ->
        uint8 [T, height, width, 3].
    """
    import tensorflow as tf

    paths = [os.path.join(folder, shard_name(n)) for n in range(index["shard"].max() + 1)]
    remote = files.is_remote(folder)
    record_at = _remote_record if remote else _record
    shards = tf.constant(paths)
    shard, start, first, offset = (
        tf.constant(index[name]) for name in ("shard", "start", "first", "offset")
    )
    lengths = tf.constant(record_lengths(index, sizes) if remote else [], tf.int32)
    names = tf.constant([os.fsencode(name) for name in ids])

    def read(number: tf.Tensor, frames: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
        file = tf.gather(shards, tf.gather(shard, number))
        name = tf.gather(names, number)
        rows = tf.gather(first, number) + frames
        where = tf.gather(start, number) + tf.cast(tf.gather(offset, rows), tf.int64)
        length = tf.gather(lengths, rows) if remote else tf.zeros_like(where)

        def read_one(place: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            jpeg = record_at(file, *place)
            whole = tf.debugging.Assert(
                tf.not_equal(jpeg, ""),
                ["damaged frame in prepared video", name, "shard", file, "byte", place[0]],
            )
            with tf.control_dependencies([whole]):
                return tf.io.decode_and_crop_jpeg(
                    jpeg, box, channels=3, dct_method="INTEGER_ACCURATE"
                )

        if frames.shape[0] == 1:  # a loop of one costs more than the frame
            return read_one((where[0], length[0]))[None]
        clip = tf.map_fn(read_one, (where, length), fn_output_signature=tf.uint8)
        clip.set_shape([frames.shape[0], None, None, 3])
        return clip

    return read


def _record(file: tf.Tensor, where: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
    """What a local record holds, string []; '' where it is damaged, so that we can name it."""
    import tensorflow as tf

    string = {"output_types": [tf.string], "output_shapes": [[]]}
    # tf.data.TFRecordDataset has no byte offset; the op under it has, and buffer 0 makes it read
    # exactly one record.
    records = tf.raw_ops.TFRecordDatasetV2(
        filenames=[file],
        compression_type="",
        buffer_size=tf.constant(0, tf.int64),
        byte_offsets=[where],
    )
    records = tf.raw_ops.IgnoreErrorsDataset(input_dataset=records, **string)
    empty = tf.raw_ops.TensorDataset(components=[tf.constant("")], output_shapes=[[]])
    records = tf.raw_ops.ConcatenateDataset(input_dataset=records, another_dataset=empty, **string)
    one = tf.raw_ops.TakeDataset(input_dataset=records, count=tf.constant(1, tf.int64), **string)
    return tf.raw_ops.DatasetToSingleElement(dataset=one, **string)[0]


def _remote_record(file: tf.Tensor, where: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """As `_record`, by one request. Raises InputError where it cannot be read."""
    import tensorflow as tf

    def fetch(file: bytes | np.ndarray, where: np.int64, length: np.int64) -> bytes:
        address = os.fsdecode(np.asarray(file).item())  # an array outside of a graph
        try:
            found = files.read_range(address, int(where), int(length))
        except OSError as error:
            raise InputError(
                f"{error.filename}: {reason(error)}; the same command goes on when it answers"
            ) from error
        data = found[12:-4]
        return data if found == record(data) else b""

    jpeg = tf.numpy_function(fetch, [file, where, length], tf.string, stateful=False)
    jpeg.set_shape([])
    return jpeg
