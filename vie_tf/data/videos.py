"""Sets of videos: a folder, a CSV, or a prepared folder, all read the same way."""

from __future__ import annotations

import csv
import hashlib
import logging
import os
import posixpath
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from vie_tf.data import decoding, files, prepared
from vie_tf.errors import InputError
from vie_tf.progress import track

if TYPE_CHECKING:
    import tensorflow as tf

SPLITS = ("train", "test", "")
_COLUMNS = ("path", "label", "split")  # of a CSV; others are kept with the video
# Files that lie beside videos and are none; everything else is tried.
_BESIDE = frozenset(
    ".csv .tsv .txt .md .rst .json .jsonl .yaml .yml .xml .html .log .py .sh .jpg .jpeg .png .bmp "
    ".webp .pdf .npy .npz .pkl .h5 .tfrecord .zip .tar .gz .tgz .srt .vtt .ass .nfo .db .ini "
    ".part".split()
)


@dataclass(frozen=True)
class SourceVideo:
    """One line of a source: where the file is, and what is known of it without opening it."""

    id: str
    path: str
    label: str = ""
    split: str = ""
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class VideoSet:
    """Videos that can be read.

    Attributes:
        ids: relative POSIX paths, in the source's order (folder: sorted); unique in what is
            opened, repeated where a video has several rows.
        labels: int64 [N], index into `label_names`, -1 where unknown.
        label_names: sorted names.
        splits: str [N], 'train', 'test' or ''.
        frames: int64 [N], frames of each video.
        sizes: int32 [N, 2], height and width in pixels as displayed.
        file_bytes: int64 [N], length of the file that a video comes from.
        numbers: int64 [N], the number by which `read` knows each video.
        read: read(number int64 [], frames int64 [T], box int32 [4] = top, left, height, width) ->
            uint8 [T, height, width, 3], RGB; to be called inside tf.data; frames may repeat and
            need no order. A frame that cannot be read raises an error that names the video.
        starts: int64 [N, 2], first and end of the frames at which a row's training clips may
            start, where rows are bins of videos (`sampling.binned`); None: anywhere.
    """

    ids: list[str]
    labels: np.ndarray
    label_names: list[str]
    splits: np.ndarray
    frames: np.ndarray
    sizes: np.ndarray
    file_bytes: np.ndarray
    numbers: np.ndarray
    read: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
    starts: np.ndarray | None = None

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.ids)

    def subset(self, rows: np.ndarray) -> VideoSet:
        """The set of some rows (an int array or a boolean mask), in that order."""
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
        """Row of a video, given by its id or as the file it comes from; None if it is no member.

        A file is told by the end of its path and by its length, since a prepared set does not say
        where the files were.
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

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of ids, frames, sizes, splits and labels: tells sets apart."""
        names = [self.label_names[label] if label >= 0 else "" for label in self.labels]
        digest = hashlib.sha256()
        for row in zip(
            self.ids, self.frames.tolist(), self.sizes.tolist(), self.splits.tolist(), names
        ):
            digest.update(repr(row).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]


def open_videos(data: str, decoder: str = "auto", label_column: str = "label") -> VideoSet:
    """Opens a prepared folder, a folder of videos or a CSV.

    Args:
        data: a prepared folder (known by its dataset.json; may be remote), a folder, or a CSV with
            the columns path (relative to the CSV's folder), and optionally label and split.
        decoder: 'auto', 'tfio' or 'pyav', for videos that are not prepared.
        label_column: the column that is the label.

    Raises:
        InputError: nothing there, nothing usable, a damaged prepared set, a bad CSV.
    """
    if files.is_remote(data) or prepared.is_prepared(data):
        return _open_prepared(data, label_column)
    if prepared.is_begun(data):
        raise InputError(f"{data}: preparation was not finished; run data_prep.videos again")
    if os.path.isfile(os.path.join(data, prepared.shard_name(0))):
        raise InputError(f"{data}: a prepared set without its dataset.json; copy all of it again")
    return _open_raw(list_source(data, label_column), data, decoder)


def open_video(path: str, decoder: str = "auto") -> VideoSet:
    """A set of one video file, as a query.

    Raises:
        InputError: it cannot be read.
    """
    return _open_raw([SourceVideo(path, path)], path, decoder)


def list_source(data: str, label_column: str = "label", leave_out: str = "") -> list[SourceVideo]:
    """The videos of a folder or CSV, without opening them.

    Args:
        data: the folder or CSV.
        label_column: the CSV's column that is the label.
        leave_out: a folder inside `data` that is not looked into.

    Raises:
        InputError: it does not exist, holds no videos, or the CSV breaks a rule.
    """
    if os.path.isdir(data):
        if label_column != "label":
            raise InputError(f"--label_column={label_column}: {data} is a folder; give a CSV")
        return _list_folder(data, leave_out)
    if not os.path.exists(data):
        raise InputError(f"{data}: no such folder or CSV; give a folder of videos or a CSV")
    if not data.lower().endswith(".csv"):
        raise InputError(f"{data}: neither a folder nor a .csv; give a folder of videos or a CSV")
    return _list_csv(data, label_column)


def _list_folder(folder: str, leave_out: str) -> list[SourceVideo]:
    left_out, seen, found = os.path.realpath(leave_out or os.devnull), set(), []
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        ours = parent != folder and (prepared.is_prepared(parent) or prepared.is_begun(parent))
        if real in seen or real == left_out or ours:  # links can go in circles
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() not in _BESIDE:
                path = os.path.join(parent, name)
                found.append((os.path.relpath(path, folder).replace(os.sep, "/"), path))
    if not found:
        raise InputError(f"{folder}: no videos in this folder; give a folder of videos or a CSV")
    return [
        SourceVideo(name, path, name.split("/")[0] if "/" in name else "")
        for name, path in sorted(found)
    ]


def _list_csv(path: str, label_column: str) -> list[SourceVideo]:
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            table = csv.DictReader(file)
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
    if label_column != "label" and label_column not in columns:
        raise InputError(f'{path}: has no column "{label_column}" (found: {", ".join(columns)})')
    videos, lines = [], {}
    for line, row in enumerate(rows, start=2):
        name = posixpath.normpath((row["path"] or "").strip().replace(os.sep, "/"))
        split = (row.get("split") or "").strip()
        if name == ".":
            raise InputError(f"{path}: row {line} has no path; fill it in or delete the row")
        if name in lines:
            raise InputError(
                f"{path}: rows {lines[name]} and {line} are the same path {name}; delete one"
            )
        if split not in SPLITS:
            raise InputError(f"{path}: row {line}: split is {split!r}; use train, test or nothing")
        lines[name] = line
        extra = {key: row[key] or "" for key in columns if key and key not in _COLUMNS}
        label = (row.get(label_column) or "").strip()
        where = os.path.join(os.path.dirname(path), name)
        videos.append(SourceVideo(name, where, label, split, extra))
    if not videos:
        raise InputError(f'{path}: has no rows; list videos in its column "path"')
    return videos


def _labels(names: list[str]) -> tuple[np.ndarray, list[str]]:
    """Label numbers, int64 [N], -1 for '', and the sorted names."""
    label_names = sorted(set(names) - {""})
    number = {name: row for row, name in enumerate(label_names)}
    return np.array([number.get(name, -1) for name in names], np.int64), label_names


def _open_prepared(folder: str, label_column: str) -> VideoSet:
    description = prepared.read_description(folder)
    index, manifest = prepared.read_index(folder), prepared.read_manifest(folder)
    kept = [row for row in manifest if row.get("status") == "kept"]
    if len(kept) != len(index["shard"]) or not {"path", "split", "source_bytes"} <= set(kept[0]):
        raise InputError(f"{folder}: manifest.csv is damaged; copy it again, or prepare again")
    column = f"csv_{label_column}" if f"csv_{label_column}" in manifest[0] else label_column
    if column not in manifest[0]:
        raise InputError(
            f'{folder}: its manifest.csv has no column "{label_column}" '
            f"(found: {', '.join(manifest[0])})"
        )
    ids = [row["path"] for row in kept]
    labels, label_names = _labels([row[column] for row in kept])
    return VideoSet(
        ids,
        labels,
        label_names,
        np.array([row["split"] for row in kept], str),
        np.diff(index["first"]),
        index["size"],
        np.array([row["source_bytes"] for row in kept], np.int64),
        np.arange(len(ids), dtype=np.int64),
        prepared.frame_reader(folder, index, ids, description["files"]),
    )


def _open_raw(source: list[SourceVideo], data: str, decoder: str) -> VideoSet:
    try:
        decoder = decoding.choose_decoder(decoder)
    except decoding.DecodingError as error:
        raise InputError(str(error)) from error

    def try_probe(video: SourceVideo) -> decoding.VideoInfo | str:
        try:
            info = decoding.probe(video.path)
            short = len(info.positions()) < decoding.MIN_FRAMES
            return f"fewer than {decoding.MIN_FRAMES} frames at 25 fps" if short else info
        except decoding.DecodingError as error:
            return str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        probed = list(track(pool.map(try_probe, source), "opening videos", len(source)))
    left_out = [f"{v.id}: {info}" for v, info in zip(source, probed) if isinstance(info, str)]
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
    labels, label_names = _labels([video.label for video, _ in videos])
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
    )


def _raw_reader(
    videos: list[tuple[SourceVideo, decoding.VideoInfo]], positions: list[np.ndarray], decoder: str
) -> Callable:
    """`VideoSet.read` for files: decodes in Python, outside the graph."""
    import tensorflow as tf

    def decode(number: np.ndarray, frames: np.ndarray, box: np.ndarray) -> np.ndarray:
        video, info = videos[int(number)]
        top, left, height, width = box.tolist()
        try:
            clip = decoding.read_frames(video.path, info, positions[int(number)][frames], decoder)
        except decoding.DecodingError as error:
            raise InputError(
                f"{video.path}: {error}; restore the file, then the same command goes on"
            ) from error
        return np.ascontiguousarray(clip[:, top : top + height, left : left + width])

    def read(number: tf.Tensor, frames: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
        clip = tf.numpy_function(decode, [number, frames, box], tf.uint8, stateful=False)
        clip.set_shape([frames.shape[0], None, None, 3])
        return clip

    return read


def damage(error: tf.errors.OpError) -> InputError | None:
    """The line for the user, if an error of the graph is that of a video that cannot be read."""
    if found := re.search(r"InputError: (.*)", error.message):
        return InputError(found.group(1))
    if found := re.search(r"damaged frame in prepared video.*", error.message):
        said = re.sub(r"\]? \[|\]", " ", found.group())  # TensorFlow puts every part in brackets
        return InputError(f"{said}; copy that file again, or prepare the videos again")
    return None
