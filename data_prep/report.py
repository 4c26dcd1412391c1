"""What is in a set of videos, as text: `python -m data_prep.report --data=PREPARED_OR_DIR_OR_CSV`.

The speed at the end is measured with training's own clips and pipeline.
"""

from __future__ import annotations

import os
import re
import textwrap
import time
from collections import Counter
from collections.abc import Iterable

import numpy as np
from absl import flags

from vie_tf.commands import command
from vie_tf.data import prepared
from vie_tf.data.resampling import FPS
from vie_tf.data.videos import VideoSet, damage, open_videos
from vie_tf.printable import printable

_COLUMNS, _MARGIN = 80, 10
_MOST = 5  # lines of a list
_SECONDS = 2.0  # of measurement, for each kind of clip
_BATCH, _SIDE = 8, 224  # clips, pixels


def report(data: str, videos: VideoSet) -> list[str]:
    """Describes what is in a set, except its speed.

    Args:
        data: from where it was opened.
        videos: the opened set.

    Returns:
        Lines of at most 80 columns.
    """
    size, fps, kind = int(videos.file_bytes.sum()), FPS, "files"
    if prepared.is_prepared(data):
        description = prepared.read_description(data)
        size, fps = sum(description["files"].values()), description["request"]["fps"]
        kind = "JPEG frames"
    lines = [
        *_section("videos", [f"{len(videos):,} kept, {len(videos.skipped):,} skipped"]),
        *_section("skipped", _reasons(videos.skipped)),
        *_section("length", _lengths(videos.frames, fps)),
        *_section("size", _sizes(videos.sizes)),
        *_section("labels", _labels(videos)),
        *_section("splits", _splits(videos.splits)),
    ]
    frames = int(videos.frames.sum())
    total = f"{size / 1e6:,.1f} MB of {kind}, {size / frames:,.0f} bytes for each of {frames:,}"
    return lines + _section("bytes", [f"{total} frames"])


def _section(title: str, texts: Iterable[str]) -> list[str]:
    """Formats texts beside their title, with long ones wrapped."""
    lines = []
    for text in texts:
        first = f"{'' if lines else title:{_MARGIN}}"
        broken = textwrap.wrap(
            printable(text),
            _COLUMNS - _MARGIN,
            drop_whitespace=False,
            subsequent_indent="   ",
        )
        lines += [first + broken[0], *(" " * _MARGIN + line for line in broken[1:])]
    return lines


def _listed(counts: Counter, names: dict[str, str] | None = None) -> list[str]:
    """Lists the most frequent items, each after its count."""
    most = [((names or {}).get(key, key), count) for key, count in counts.most_common(_MOST)]
    if len(counts) > _MOST:
        rest = sum(counts.values()) - sum(count for _, count in most)
        most.append((f"{len(counts) - _MOST:,} others", rest))
    return _counted(most)


def _counted(rows: list[tuple[str, int]]) -> list[str]:
    width = max((len(f"{count:,}") for _, count in rows), default=0)
    return [f"{count:{width},}  {text}" for text, count in rows]


def _reasons(skipped: dict[str, str]) -> list[str]:
    """Merges reasons that differ only in a number; each is shown with its first file."""
    alike: dict[str, list[str]] = {}
    for video, reason in skipped.items():
        alike.setdefault(re.sub(r"\d+", "#", reason), []).append(f"{reason}: {video}")
    examples = {key: found[0] + ", …" * (len(found) > 1) for key, found in alike.items()}
    return _listed(Counter({key: len(found) for key, found in alike.items()}), examples)


def _lengths(frames: np.ndarray, fps: float) -> list[str]:
    quartiles = np.percentile(frames, [0, 25, 50, 75, 100])
    head = "".join(f"{name:>11}" for name in ("shortest", "1/4", "median", "3/4", "longest"))
    return [
        f"{'':8}{head}",
        f"{'frames':8}" + "".join(f"{value:11,.0f}" for value in quartiles),
        f"{'seconds':8}" + "".join(f"{value / fps:11,.1f}" for value in quartiles),
        f"{frames.sum() / fps / 3600:,.2f} hours in all, at {fps:g} frames/s",
    ]


def _sizes(sizes: np.ndarray) -> list[str]:
    return _listed(Counter(f"{width} x {height}" for height, width in sizes.tolist()))


def _labels(videos: VideoSet) -> list[str]:
    unknown = int((videos.labels < 0).sum())
    if not videos.label_names:
        return ["none"]
    counts = np.bincount(videos.labels[videos.labels >= 0], minlength=len(videos.label_names))
    rows = (("largest", counts.argmax()), ("smallest", counts.argmin()))
    return [
        f"{len(counts):,} classes, {unknown:,} videos without label",
        *_counted([(f"{videos.label_names[row]} ({what})", counts[row]) for what, row in rows]),
    ]


def _splits(splits: np.ndarray) -> list[str]:
    names = {"": "of no split"}
    return _listed(Counter(splits.tolist()), names)


def speed(videos: VideoSet) -> list[str]:
    """Measures how many training clips per second the pipeline makes, of 1 and of 16 frames.

    Args:
        videos: all of them are read.

    Returns:
        A line for each kind of clip, and one about the machine.

    Raises:
        InputError: no video of a batch can be read.
    """
    command.import_tensorflow()
    import tensorflow as tf

    from vie_tf.data import pipeline
    from vie_tf.data.sampling import Window

    lines = []
    for frames in (1, 16):
        endless = pipeline.training_batches(
            videos, Window(frames), _BATCH, _SIDE, seed=0, first_step=0, last_step=1 << 30
        )
        try:
            batches = iter(endless)
            next(batches)  # starts the threads
            batches_read, unreadable, start = 0, 0, time.perf_counter()
            while time.perf_counter() < start + _SECONDS:
                unreadable += int((next(batches)["unreadable"].numpy() >= 0).sum())
                batches_read += 1
        except tf.errors.OpError as error:
            raise damage(error) or error from error
        clips = batches_read * _BATCH / (time.perf_counter() - start)
        lines.append(f"{clips:8,.1f}  clips/s of {frames} frame{'s'[: frames - 1]}")
        if unreadable:
            share = unreadable / (batches_read * _BATCH)
            lines.append(f"{share:8.1%}  of them could not be read; training leaves them out")
    cores = len(os.sched_getaffinity(0))
    return _section("reading", [*lines, f"{_SIDE} x {_SIDE} pixels, {cores} cores"])


def main() -> None:
    """Runs the command."""
    data = flags.FLAGS.data
    columns = flags.FLAGS.label_column, flags.FLAGS.split_column
    found = open_videos(data, flags.FLAGS.decoder, *columns)
    print("\n".join(report(data, found)), flush=True)
    print("\n".join(speed(found)))


if __name__ == "__main__":
    flags.DEFINE_string(
        "data", None, "Prepared videos, a folder of videos, or a CSV.", required=True
    )
    flags.DEFINE_enum("decoder", "auto", ["auto", "tfio", "pyav"], "Decoder of raw videos.")
    flags.DEFINE_string("label_column", "label", "Column of the CSV that is the label.")
    flags.DEFINE_string("split_column", "split", "Column of the CSV that is the split.")
    command.run("data_prep.report", main)
