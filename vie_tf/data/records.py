"""Reading the frames of a prepared set: the records of those asked for, and no others."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from vie_tf.data import files
from vie_tf.data.frames import Frames, in_python
from vie_tf.data.prepared import record, shard_name
from vie_tf.errors import reason


class Places:
    """Where each frame's record lies.

    Args:
        index: from `prepared.read_index`.
        sizes: bytes of each shard, by its name.
    """

    def __init__(self, index: dict[str, np.ndarray], sizes: dict[str, int]) -> None:
        self._index = index
        # A video ends where the next one begins, or with its shard.
        shard, start = index["shard"], index["start"]
        self._ends = np.append(start[1:], 0)
        last = np.append(shard[1:] != shard[:-1], True)
        self._ends[last] = [sizes[shard_name(number)] for number in shard[last]]

    def __call__(self, number: int, frames: np.ndarray) -> list[tuple[int, int]]:
        """Start and length, in bytes of the video's shard, of the records of frames int64 [T]."""
        first, end = self._index["first"][number : number + 2]
        start, offsets = self._index["start"][number], self._index["offset"][first:end]
        # A frame shown again is the same record, so the next one has another offset.
        following = np.searchsorted(offsets, offsets[frames], side="right")
        ends = np.append(start + offsets, self._ends[number])[following]
        starts = start + offsets[frames]
        return list(zip(starts.tolist(), (ends - starts).tolist()))


def frame_reader(
    folder: str, index: dict[str, np.ndarray], ids: list[str], sizes: dict[str, int]
) -> Callable:
    """`VideoSet.read` of a prepared set.

    Args:
        folder: of the prepared set, local or remote.
        index: from `prepared.read_index`.
        ids: names of the videos, for the line about a damaged record.
        sizes: bytes of each shard, by its name.
    """
    paths = [os.path.join(folder, shard_name(n)) for n in range(index["shard"].max() + 1)]
    places = Places(index, sizes)

    def read_jpegs(number: np.int64, frames: np.ndarray) -> tuple[np.ndarray, bytes]:
        number = int(number)
        path, ranges = paths[index["shard"][number]], places(number, frames)
        jpegs, problem = [b""] * len(ranges), ""
        try:
            records = files.read_ranges(path, ranges)
            jpegs = [data[12:-4] for data in records]
            sound = [record(jpeg) == data for jpeg, data in zip(jpegs, records)]
            if not all(sound):
                problem = _damaged(ids[number], path, ranges[sound.index(False)][0])
        except OSError as error:
            problem = (
                f"prepared video {ids[number]}: {path}: {reason(error)}; the same command goes on "
                "when it can be read"
            )
        return np.array(jpegs, object), os.fsencode(problem)

    def read(
        number: tf.Tensor, frames: tf.Tensor, box: tf.Tensor, portable: bool = False
    ) -> Frames:
        if portable:
            jpegs, problem = _read_in_graph(paths, index, ids, number, frames)
        else:
            dtypes = [tf.string, tf.string]
            jpegs, problem = in_python(read_jpegs, [number, frames], dtypes)
            jpegs.set_shape(frames.shape)
            problem.set_shape([])

        def unpack(jpeg: tf.Tensor) -> tf.Tensor:
            return tf.io.decode_and_crop_jpeg(jpeg, box, channels=3, dct_method="INTEGER_ACCURATE")

        return Frames(jpegs, unpack, problem)

    return read


def _damaged(video: str, path: str, byte: int) -> str:
    """The line about a damaged record."""
    return (
        f"damaged frame in prepared video {video} shard {path} byte {byte}; copy that file again, "
        "or prepare the videos again"
    )


def _read_in_graph(
    paths: list[str],
    index: dict[str, np.ndarray],
    ids: list[str],
    number: tf.Tensor,
    frames: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """As `read_jpegs`, in ops alone, so that another process can run them; local files only.

    Each frame costs what Python takes for a whole clip.
    """
    path = tf.gather(tf.constant(paths), tf.gather(tf.constant(index["shard"]), number))
    rows = tf.gather(tf.constant(index["first"]), number) + frames
    offsets = tf.cast(tf.gather(tf.constant(index["offset"]), rows), tf.int64)
    where = tf.gather(tf.constant(index["start"]), number) + offsets
    jpegs = tf.map_fn(lambda place: _record(path, place), where, fn_output_signature=tf.string)
    name = tf.gather(tf.constant([os.fsencode(video) for video in ids]), number)
    line = _damaged("{}", "{}", "{}").split("{}")
    byte = tf.strings.as_string(where[tf.argmax(tf.cast(jpegs == "", tf.int32))])
    parts = [line[0], name, line[1], path, line[2], byte, line[3]]
    problem = tf.where(tf.reduce_any(jpegs == ""), tf.strings.join(parts), "")
    return jpegs, problem


def _record(path: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """What a record holds, string []; '' where it is damaged."""
    string = {"output_types": [tf.string], "output_shapes": [[]]}
    # tf.data.TFRecordDataset has no byte offset; the op under it has, and buffer 0 makes it read
    # exactly one record.
    records = tf.raw_ops.TFRecordDatasetV2(
        filenames=[path],
        compression_type="",
        buffer_size=tf.constant(0, tf.int64),
        byte_offsets=[where],
    )
    records = tf.raw_ops.IgnoreErrorsDataset(input_dataset=records, **string)
    empty = tf.raw_ops.TensorDataset(components=[tf.constant("")], output_shapes=[[]])
    records = tf.raw_ops.ConcatenateDataset(input_dataset=records, another_dataset=empty, **string)
    one = tf.raw_ops.TakeDataset(input_dataset=records, count=tf.constant(1, tf.int64), **string)
    return tf.raw_ops.DatasetToSingleElement(dataset=one, **string)[0]
