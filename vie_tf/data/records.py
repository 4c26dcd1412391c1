"""Reads frames of a prepared set: only the records of those requested."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from vie_tf.data import files
from vie_tf.data.frames import Frames, in_python
from vie_tf.data.prepared import record, shard_name, wrong_shards
from vie_tf.errors import reason

AGAIN = "; copy that file again, or prepare the videos again"


class Places:
    """Finds the record of each frame.

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
        """Returns start and length of the records of frames int64 [T], in bytes of their shard."""
        first, end = self._index["first"][number : number + 2]
        start, offsets = self._index["start"][number], self._index["offset"][first:end]
        # A frame shown again is the same record, so the next one has another offset.
        following = np.searchsorted(offsets, offsets[frames], side="right")
        ends = np.append(start + offsets, self._ends[number])[following]
        starts = start + offsets[frames]
        return list(zip(starts.tolist(), (ends - starts).tolist()))

    def cut_off(self, sizes: dict[str, int]) -> np.ndarray:
        """Returns which videos do not end within the available bytes of some shards, bool [N].

        Args:
            sizes: bytes available, by the shard's name; the other shards are complete.
        """
        shards = range(self._index["shard"].max() + 1)
        there = np.array([sizes.get(shard_name(number), np.inf) for number in shards])
        return self._ends > there[self._index["shard"]]


def tell_wrong_shards(folder: str, index: dict[str, np.ndarray], sizes: dict[str, int]) -> None:
    """Warns if shards are missing, cut off or too long: which ones, and how many videos they hold.

    Args:
        folder: of the prepared set, local or remote.
        index: from `prepared.read_index`.
        sizes: bytes of each of its files, by its name.
    """
    wrong, places = wrong_shards(folder, sizes), Places(index, sizes)
    if not wrong:
        return
    about = [f"{name} {what} ({places.cut_off({name: n}).sum()} videos)" for name, what, n in wrong]
    logging.getLogger(__name__).warning(
        "%s: %d videos are cut off or gone, and left out: %s%s; copy what is wrong again",
        folder,
        places.cut_off({name: there for name, _, there in wrong}).sum(),
        "; ".join(about[:3]),
        "; …" if len(about) > 3 else "",
    )


def frame_reader(
    folder: str, index: dict[str, np.ndarray], ids: list[str], sizes: dict[str, int]
) -> Callable:
    """`VideoSet.read` of a prepared set.

    Args:
        folder: of the prepared set, local or remote.
        index: from `prepared.read_index`.
        ids: names of the videos, for the message about a damaged record.
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
                byte = ranges[sound.index(False)][0]
                problem = (
                    f"damaged frame in prepared video {ids[number]} shard {path} byte {byte}{AGAIN}"
                )
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


def _read_in_graph(
    paths: list[str],
    index: dict[str, np.ndarray],
    ids: list[str],
    number: tf.Tensor,
    frames: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """As `read_jpegs`, with ops only, so that another process can run them; local files only.

    Each frame takes as long as a whole clip does in Python.
    """
    path = tf.gather(tf.constant(paths), tf.gather(tf.constant(index["shard"]), number))
    rows = tf.gather(tf.constant(index["first"]), number) + frames
    offsets = tf.cast(tf.gather(tf.constant(index["offset"]), rows), tf.int64)
    where = tf.gather(tf.constant(index["start"]), number) + offsets

    def read(where: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(lambda place: _record(path, place), where, fn_output_signature=tf.string)

    # An error consumes the only element, so it can be ignored. An error in the records' own dataset
    # could not be: a missing file would be opened again forever.
    clip = tf.data.Dataset.from_tensors(where).map(read).ignore_errors()
    nothing = tf.data.Dataset.from_tensors(tf.fill(tf.shape(where), ""))
    jpegs = clip.concatenate(nothing).take(1).get_single_element()
    name = tf.gather(tf.constant([os.fsencode(video) for video in ids]), number)
    line = ["a frame of prepared video ", name, " cannot be read from shard ", path, AGAIN]
    problem = tf.where(jpegs[0] == "", tf.strings.join(line), "")
    return jpegs, problem


def _record(path: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Returns a record's content, string []; raises an error if it cannot be read."""
    string = {"output_types": [tf.string], "output_shapes": [[]]}
    # tf.data.TFRecordDataset has no byte offset; its underlying op has, and buffer 0 makes it read
    # exactly one record.
    records = tf.raw_ops.TFRecordDatasetV2(
        filenames=[path],
        compression_type="",
        buffer_size=tf.constant(0, tf.int64),
        byte_offsets=[where],
    )
    one = tf.raw_ops.TakeDataset(input_dataset=records, count=tf.constant(1, tf.int64), **string)
    return tf.raw_ops.DatasetToSingleElement(dataset=one, **string)[0]
