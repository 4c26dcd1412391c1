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
import json
import os
import struct
from collections.abc import Callable
from typing import Any

import google_crc32c
import numpy as np

from vie_tf.errors import InputError

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
    return os.path.isfile(os.path.join(folder, "dataset.json"))


def is_begun(folder: str) -> bool:
    """Whether a folder is a prepared set that is not finished."""
    return os.path.isfile(os.path.join(folder, "journal.jsonl"))


def read_description(folder: str) -> dict[str, Any]:
    """dataset.json of a prepared set, checked against the files beside it.

    Raises:
        InputError: other format or version, a shard or the index missing, cut off or too long.
    """
    again = "prepare it again with data_prep.videos"
    try:
        with open(os.path.join(folder, "dataset.json"), encoding="utf-8") as file:
            description = json.load(file)
        name, version = description["format"], description["version"]
        files = dict(description["files"])
        description["request"]["fps"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder}: dataset.json cannot be read ({error!r}); {again}") from error
    if (name, version) != (FORMAT, VERSION):
        raise InputError(
            f"{folder}: {name!r} version {version}, this program reads version {VERSION}; {again}"
        )
    for file_name, size in files.items():
        path = os.path.join(folder, file_name)
        found = os.path.getsize(path) if os.path.isfile(path) else None
        if found != size:
            what = "is missing" if found is None else f"has {found} bytes instead of {size}"
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
        with np.load(os.path.join(folder, "index.npz")) as arrays:
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
    path = os.path.join(folder, "manifest.csv")
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = list(csv.DictReader(file))
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


def frame_reader(folder: str, index: dict[str, np.ndarray], ids: list[str]) -> Callable:
    """Reading of prepared frames in TensorFlow ops.

    Reads only the records of the frames asked for: one request of the JPEG's size + 16 bytes each.

    Args:
        folder: of the prepared set, local or on any file system TensorFlow knows.
        index: from `read_index`.
        ids: names of the videos, for the message when a record is damaged.

    Returns:
        read(number int64 [], frames int64 [T], box int32 [4] = top, left, height, width) ->
        uint8 [T, height, width, 3].
    """
    import tensorflow as tf

    shards = tf.constant([f"{folder}/{shard_name(n)}" for n in range(index["shard"].max() + 1)])
    shard, start, first, offset = (
        tf.constant(index[name]) for name in ("shard", "start", "first", "offset")
    )
    names = tf.constant([os.fsencode(name) for name in ids])
    string = {"output_types": [tf.string], "output_shapes": [[]]}
    nothing = tf.constant("")

    def read(number: tf.Tensor, frames: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
        file = tf.gather(shards, tf.gather(shard, number))
        name = tf.gather(names, number)
        where = tf.gather(offset, tf.gather(first, number) + frames)
        where = tf.gather(start, number) + tf.cast(where, tf.int64)

        def read_one(where: tf.Tensor) -> tf.Tensor:
            # tf.data.TFRecordDataset has no byte offset; the op under it has, and buffer 0 makes
            # it read exactly one record. A damaged record becomes '', so that we can name it.
            records = tf.raw_ops.TFRecordDatasetV2(
                filenames=[file],
                compression_type="",
                buffer_size=tf.constant(0, tf.int64),
                byte_offsets=[where],
            )
            records = tf.raw_ops.IgnoreErrorsDataset(input_dataset=records, **string)
            empty = tf.raw_ops.TensorDataset(components=[nothing], output_shapes=[[]])
            records = tf.raw_ops.ConcatenateDataset(
                input_dataset=records, another_dataset=empty, **string
            )
            one = tf.raw_ops.TakeDataset(
                input_dataset=records, count=tf.constant(1, tf.int64), **string
            )
            jpeg = tf.raw_ops.DatasetToSingleElement(dataset=one, **string)[0]
            whole = tf.debugging.Assert(
                tf.not_equal(jpeg, ""),
                ["damaged frame in prepared video", name, "shard", file, "byte", where],
            )
            with tf.control_dependencies([whole]):
                return tf.io.decode_and_crop_jpeg(
                    jpeg, box, channels=3, dct_method="INTEGER_ACCURATE"
                )

        if frames.shape[0] == 1:  # a loop of one costs more than the frame
            return read_one(where[0])[None]
        clip = tf.map_fn(read_one, where, fn_output_signature=tf.uint8)
        clip.set_shape([frames.shape[0], None, None, 3])
        return clip

    return read
