"""Sets of videos: a folder, a CSV, or a prepared folder, all read the same way."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vie_tf.data import decoding, files, prepared
from vie_tf.data.labels import number_labels
from vie_tf.data.source import SPLITS, SourceVideo, list_source
from vie_tf.errors import InputError
from vie_tf.progress import track

if TYPE_CHECKING:
    import tensorflow as tf

    from vie_tf.data.frames import Frames

_BYTES_AT_ONCE = 64 << 20  # of pixels, when searching for a bad frame


@dataclass(frozen=True)
class VideoSet:
    """Videos that can be read.

    Attributes:
        ids: relative POSIX paths, in the source's order (folder: sorted); unique when opened,
            repeated if a video has several rows.
        labels: int64 [N], index into `label_names`, -1 where unknown.
        label_names: names of all labels, sorted, or in the order of `class_index` (see
            `labels.number_labels`).
        splits: str [N], 'train', 'test' or ''.
        frames: int64 [N], frames of each video.
        sizes: int32 [N, 2], height and width in pixels as displayed.
        file_bytes: int64 [N], length of the file that a video comes from.
        numbers: int64 [N], the number by which `read` identifies each video.
        read: read(number int64 [], frames int64 [T], box int32 [4] = top, left, height, width) ->
            `Frames` of that box, RGB; called inside tf.data; frames may repeat, in any order. With
            `portable=True` another process can run the graph (prepared videos only).
        starts: int64 [N, 2], first and end of the frames at which a row's training clips may
            start, if rows are bins of videos (`sampling.binned`); None: anywhere.
        skipped: why each other file of the source is left out, by its id.
    """

    ids: list[str]
    labels: np.ndarray
    label_names: list[str]
    splits: np.ndarray
    frames: np.ndarray
    sizes: np.ndarray
    file_bytes: np.ndarray
    numbers: np.ndarray
    read: Callable[..., Frames]
    starts: np.ndarray | None = None
    skipped: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.ids)

    def subset(self, rows: np.ndarray) -> VideoSet:
        """Returns the set of some rows (an int array or a boolean mask), in that order."""
        rows = np.arange(len(self.ids))[rows]
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            labels=self.labels[rows],
            splits=self.splits[rows],
            frames=self.frames[rows],
            sizes=self.sizes[rows],
            file_bytes=self.file_bytes[rows],
            numbers=self.numbers[rows],
            starts=None if self.starts is None else self.starts[rows],
        )

    def find(self, video: str) -> int | None:
        """Returns the row of a video, given by its id or source file; None if it is not in the set.

        A file is recognised by the end of its path and its length, since a prepared set does not
        store where the files were.
        """
        if video in self.ids:
            return self.ids.index(video)
        length = os.path.getsize(video) if os.path.isfile(video) else -1
        paths = {os.path.abspath(video), os.path.realpath(video)}
        for row in np.flatnonzero(self.file_bytes == length):
            end = "/" + self.ids[row].lstrip("./")  # a CSV's path may begin with ../
            if any(path.replace(os.sep, "/").endswith(end) for path in paths):
                return int(row)
        return None

    def read_row(self, row: int, frames: Sequence[int]) -> Frames:
        """Reads some whole frames of a row immediately."""
        import tensorflow as tf

        box = tf.constant([0, 0, *self.sizes[row]], tf.int32)
        number = tf.constant(self.numbers[row], tf.int64)
        return self.read(number, tf.constant(frames, tf.int64), box)

    @cached_property
    def names(self) -> np.ndarray:
        """The label name of each video, str [N], '' where unknown."""
        return np.array([*self.label_names, ""])[self.labels]

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify a set by ids, frames, sizes, splits and labels."""
        names = [self.label_names[label] if label >= 0 else "" for label in self.labels]
        digest = hashlib.sha256()
        if self.label_names != sorted(set(names) - {""}):  # otherwise the names imply the numbers
            digest.update(repr(self.label_names).encode("utf-8", "surrogateescape"))
        for row in zip(
            self.ids, self.frames.tolist(), self.sizes.tolist(), self.splits.tolist(), names
        ):
            digest.update(repr(row).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]


def open_videos(
    data: str,
    decoder: str = "auto",
    label_column: str = "label",
    split_column: str = "split",
    skips: bool = False,
) -> VideoSet:
    """Opens a prepared folder, a folder of videos or a CSV.

    Args:
        data: a prepared folder (one with dataset.json; may be remote), a folder, or a CSV with
            the columns path (relative to its folder), and optionally label, split, class_index.
        decoder: 'auto', 'tfio' or 'pyav', for videos that are not prepared.
        label_column: the column with the label.
        split_column: the column with the split.
        skips: whether unreadable videos will be left out; wrong shards are then only a warning.

    Raises:
        InputError: no or no usable videos, a damaged prepared set, or an invalid CSV.
    """
    if files.is_remote(data) or prepared.is_prepared(data):
        return _open_prepared(data, label_column, split_column, skips)
    if prepared.is_begun(data):
        raise InputError(f"{data}: preparation was not finished; run data_prep.videos again")
    if os.path.isfile(os.path.join(data, prepared.shard_name(0))):
        raise InputError(f"{data}: a prepared set without its dataset.json; copy all of it again")
    return _open_raw(list_source(data, label_column, split_column), data, decoder, label_column)


def open_video(path: str, decoder: str = "auto") -> VideoSet:
    """Opens a set of one video file, as a query.

    Raises:
        InputError: it cannot be read.
    """
    return _open_raw([SourceVideo(path, path)], path, decoder)


def _open_prepared(folder: str, label_column: str, split_column: str, skips: bool) -> VideoSet:
    from vie_tf.data.records import frame_reader, tell_wrong_shards

    description = prepared.read_description(folder, shards=not skips)
    index, manifest = prepared.read_index(folder), prepared.read_manifest(folder)
    kept = [row for row in manifest if row["status"] == "kept"]
    if len(kept) != len(index["shard"]):
        raise InputError(f"{folder}: manifest.csv is damaged; copy it again, or prepare again")

    def column(name: str) -> list[str]:
        """Returns a column of the source's CSV; preparation renamed those whose names it uses."""
        there = f"csv_{name}" if f"csv_{name}" in kept[0] else name
        if there not in kept[0]:
            raise InputError(
                f'{folder}: its manifest.csv has no column "{name}" (found: {", ".join(kept[0])})'
            )
        return [row[there] for row in kept]

    ids = [row["path"] for row in kept]
    numbered = label_column == "label" and "class_index" in kept[0]
    indices = column("class_index") if numbered else None
    labels, label_names = number_labels(folder, column(label_column), indices)
    splits = column(split_column)
    for name, split in zip(ids, splits):
        if split not in SPLITS:
            raise InputError(
                f"{folder}: {split_column} of {name} is {split!r}, neither train, test nor nothing"
            )
    if skips:
        tell_wrong_shards(folder, index, description["files"])
    return VideoSet(
        ids,
        labels,
        label_names,
        np.array(splits, str),
        np.diff(index["first"]),
        index["size"],
        np.array([row["source_bytes"] for row in kept], np.int64),
        np.arange(len(ids), dtype=np.int64),
        frame_reader(folder, index, ids, description["files"]),
        skipped={row["path"]: row.get("reason", "") for row in manifest if row["status"] != "kept"},
    )


def _open_raw(
    source: list[SourceVideo], data: str, decoder: str, label_column: str = "label"
) -> VideoSet:
    decoder = decoding.choose_decoder(decoder)

    def try_probe(video: SourceVideo) -> decoding.VideoInfo | str:
        if files.is_remote(video.path):
            return "lies on another machine: prepare it"
        try:
            info = decoding.probe(video.path)
            least = decoding.least_frames(video.path)
            short = len(info.positions()) < least
            return f"fewer than {least} frames at 25 fps" if short else info
        except decoding.DecodingError as error:
            return str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        probed = list(track(pool.map(try_probe, source), "opening videos", len(source)))
    skipped = {v.id: info for v, info in zip(source, probed) if isinstance(info, str)}
    left_out = [f"{video}: {reason}" for video, reason in skipped.items()]
    videos = [(v, info) for v, info in zip(source, probed) if not isinstance(info, str)]
    if not videos:
        raise InputError(
            f"{data}: none of {len(source)} files is usable ({left_out[0]}); "
            "give videos that FFmpeg can decode"
        )
    if left_out:
        logging.getLogger(__name__).warning(
            "%s: %d of %d files left out: %s%s",
            data,
            len(left_out),
            len(source),
            "; ".join(left_out[:3]),
            "; …" if len(left_out) > 3 else "",
        )
    numbered = label_column == "label" and "class_index" in source[0].extra
    indices = [video.extra["class_index"] for video, _ in videos] if numbered else None
    labels, label_names = number_labels(data, [video.label for video, _ in videos], indices)
    positions = [info.positions() for _, info in videos]
    return VideoSet(
        [video.id for video, _ in videos],
        labels,
        label_names,
        np.array([video.split for video, _ in videos], str),
        np.array([len(shown) for shown in positions], np.int64),
        np.array([(info.height, info.width) for _, info in videos], np.int32),
        np.array([os.path.getsize(video.path) for video, _ in videos], np.int64),
        np.arange(len(videos), dtype=np.int64),
        _raw_reader(videos, positions, decoder),
        skipped=skipped,
    )


def _raw_reader(
    videos: list[tuple[SourceVideo, decoding.VideoInfo]], positions: list[np.ndarray], decoder: str
) -> Callable:
    """`VideoSet.read` for files: decodes in Python, outside the graph."""
    import tensorflow as tf

    from vie_tf.data.frames import Frames, in_python

    def decode(number: np.ndarray, frames: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, bytes]:
        video, info = videos[int(number)]
        top, left, height, width = box.tolist()
        try:
            clip = decoding.read_frames(video.path, info, positions[int(number)][frames], decoder)
        except (decoding.DecodingError, OSError) as error:
            problem = f"{video.path}: {error}; restore the file, then the same command goes on"
            return np.zeros((len(frames), 1, 1, 3), np.uint8), os.fsencode(problem)
        return np.ascontiguousarray(clip[:, top : top + height, left : left + width]), b""

    def read(
        number: tf.Tensor, frames: tf.Tensor, box: tf.Tensor, portable: bool = False
    ) -> Frames:
        clip, problem = in_python(decode, [number, frames, box], [tf.uint8, tf.string])
        clip.set_shape([frames.shape[0], None, None, 3])
        problem.set_shape([])
        return Frames(clip, lambda frame: frame, problem)

    return read


def why_unreadable(videos: VideoSet, row: int) -> str:
    """Returns why a video's first bad frame cannot be read, in a line that names the video."""
    length = videos.frames[row]
    at_once = max(1, _BYTES_AT_ONCE // (3 * int(np.prod(videos.sizes[row]))))
    for start in range(0, length, at_once):
        frames = np.arange(start, min(start + at_once, length))
        problem = videos.read_row(row, frames).problem.numpy()
        if problem:
            return problem.decode("utf-8", "surrogateescape")
    return f"{videos.ids[row]}: could not be read a moment ago, and can now"


def damage(error: tf.errors.OpError) -> InputError | None:
    """Returns the error for the user, if a graph's error is due to a video that cannot be read."""
    if found := re.search(r"InputError: (.*)", error.message):
        return InputError(found.group(1))
    if "no clip of a batch can be read" in error.message:
        return InputError(
            "no clip of a batch could be read: is the storage of --data there? Mend it, then "
            "the same command goes on"
        )
    return None
