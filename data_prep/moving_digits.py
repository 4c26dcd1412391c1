"""Makes the demo's videos: handwritten digits moving over a plain noisy background.

    python -m data_prep.moving_digits --out=DIR --seed=0

One H.264 file for each of the 1,797 handwritten digits that come with scikit-learn, and a
`videos.csv` with the columns path, label (the digit), split (train, test) and motion. Motions are
distributed evenly within every digit and split, so appearance and motion are independent: a network
that knows one has learned nothing about the other. The paths do not reveal the label.
"""

from __future__ import annotations

import csv
import functools
import glob
import multiprocessing
import os
import signal
from typing import NamedTuple

import av
import numpy as np
from absl import flags
from sklearn.datasets import load_digits

from vie_tf.commands import command
from vie_tf.data import files
from vie_tf.errors import InputError
from vie_tf.progress import track

MOTIONS = ("left", "right", "up", "down", "clockwise", "counter-clockwise")
FRAME = 64  # height and width, pixels
FRAMES = 25
RATE = 25  # frames per second
HELD_OUT = 0.2  # share of each digit's videos that is the test split
VERSION = 1  # raise when the same seed no longer makes the same videos


class Video(NamedTuple):
    """One video to make; `number` names its file and seeds its draws."""

    number: int
    sample: int  # row of scikit-learn's data set
    label: int  # 0..9
    split: str  # 'train' or 'test'
    motion: str  # one of MOTIONS

    @property
    def path(self) -> str:
        """Path of the file relative to the output folder."""
        return f"videos/{self.number:04d}.mp4"


def assign(seed: int) -> list[Video]:
    """Draws split and motion of every digit: balanced within digit and split, to within one."""
    labels = load_digits().target
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    chosen = []
    for label in range(10):
        members = order[labels[order] == label]
        held_out = round(HELD_OUT * len(members))
        chosen += [("test", label, sample) for sample in members[:held_out]]
        chosen += [("train", label, sample) for sample in members[held_out:]]
    # The cycle continues from one digit to the next, so that the totals are balanced as well.
    chosen.sort(key=lambda row: row[:2])
    motions = [MOTIONS[turn % len(MOTIONS)] for turn in range(len(chosen))]
    numbers = rng.permutation(len(chosen))
    videos = [
        Video(int(number), int(sample), label, split, motion)
        for number, (split, label, sample), motion in zip(numbers, chosen, motions)
    ]
    return sorted(videos)


def centres(motion: str, room: float, rng: np.random.Generator) -> np.ndarray:
    """Draws the path of a digit's centre that never comes nearer to the border than `room`.

    Args:
        motion: One of MOTIONS, as seen on the screen (y grows downwards).
        room: Pixels that the digit takes on either side of its centre.
        rng: Source of the draws.

    Returns:
        float64 [FRAMES, 2], y and x in pixels.
    """
    free = FRAME - 2 * room
    length = free * rng.uniform(0.7, 1.0)
    if motion in ("clockwise", "counter-clockwise"):
        turn = np.arange(FRAMES) / FRAMES + rng.uniform()
        angle = 2 * np.pi * turn * (1 if motion == "clockwise" else -1)
        middle = rng.uniform(length / 2, free - length / 2, size=2)
        path = middle + length / 2 * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    else:
        along = rng.uniform(0, free - length) + np.linspace(0, length, FRAMES)
        if motion in ("left", "up"):
            along = along[::-1]
        across = np.full(FRAMES, rng.uniform(0, free))
        vertical = motion in ("up", "down")
        path = np.stack([along, across] if vertical else [across, along], axis=1)
    return room + path


def render(digit: np.ndarray, motion: str, rng: np.random.Generator) -> np.ndarray:
    """Draws one video.

    Args:
        digit: [8, 8], values 0..16.
        motion: One of MOTIONS.
        rng: Source of the draws.

    Returns:
        uint8 [FRAMES, FRAME, FRAME], grey levels.
    """
    scale = rng.uniform(3.5, 4.5)  # pixels for each of the digit's 8 rows: 28 to 36 in total
    path = centres(motion, 4.5 * scale, rng)

    def weights(centre: np.ndarray) -> np.ndarray:
        """Quadratic B-spline weight of each pixel on each row (or column): [FRAMES, FRAME, 8]."""
        place = (np.arange(FRAME) + 0.5 - centre[:, None]) / scale + 3.5
        distance = np.abs(place[..., None] - np.arange(8))
        tail = np.clip(1.5 - distance, 0, None) ** 2 / 2
        return np.where(distance < 0.5, 0.75 - distance**2, tail)

    # Smooth enlargement at sub-pixel positions, separable: rows times digit times columns.
    ink = weights(path[:, 0]) @ (digit / 16) @ weights(path[:, 1]).transpose(0, 2, 1)
    ground = rng.uniform(40, 100)
    frames = ground + (235 - ground) * ink / ink.max() + rng.normal(0, 8, ink.shape)
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def write(frames: np.ndarray, path: str) -> None:
    """Writes grey uint8 [T, H, W] as an H.264 mp4; `path` appears only when it is whole."""
    colourless = np.full((FRAME // 2, FRAME), 128, np.uint8)  # both chroma planes of 4:2:0
    with files.whole(path) as part, av.open(part, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width = stream.height = FRAME
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        # No look-ahead and no rate control: on frames this small x264's look-ahead reads memory
        # that it never wrote, and then the same frames do not always give the same bytes.
        stream.options = {"preset": "ultrafast", "qp": "24"}
        for frame in frames:
            luma = np.rint(16 + frame * (219 / 255)).astype(np.uint8)  # video's limited range
            planes = np.concatenate([luma, colourless])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode(None))


def make_one(out: str, seed: int, video: Video) -> None:
    """Makes one file unless it exists."""
    path = os.path.join(out, video.path)
    if not os.path.exists(path):
        rng = np.random.default_rng([seed, video.number])
        write(render(digits()[video.sample], video.motion, rng), path)


@functools.cache
def digits() -> np.ndarray:
    """Returns scikit-learn's digits, float64 [1797, 8, 8], values 0..16."""
    return load_digits().images


def make(out: str, seed: int = 0, limit: int | None = None) -> None:
    """Makes the videos and then videos.csv; files that an interrupted run left are kept.

    Args:
        out: Folder to write to.
        seed: Decides everything that is drawn; the same seed gives the same bytes (of one PyAV).
        limit: Make only this many, from the first.

    Raises:
        InputError: `out` cannot be written, or holds videos of another seed.
    """
    videos = assign(seed)[:limit]
    mark, signature = os.path.join(out, "seed.txt"), f"moving digits {VERSION}, seed {seed}\n"
    try:
        os.makedirs(os.path.join(out, "videos"), exist_ok=True)
        for part in glob.glob(os.path.join(glob.escape(out), "videos", "*.part")):
            os.remove(part)  # of a run that was killed
        if os.path.exists(mark):
            with open(mark) as file:
                if file.read() != signature:
                    raise InputError(
                        f"{out} holds other videos than --seed={seed} makes: "
                        "remove it or choose another --out"
                    )
        with open(mark, "w") as file:
            file.write(signature)
        workers = min(os.cpu_count() or 1, 1 + len(videos) // 32)
        # Not forked: a caller may have TensorFlow's threads running. Ctrl-C is the parent's.
        pool = multiprocessing.get_context("spawn").Pool(
            workers, signal.signal, (signal.SIGINT, signal.SIG_IGN)
        )
        with pool:
            work = pool.imap(functools.partial(make_one, out, seed), videos, chunksize=8)
            for _ in track(work, "moving digits", len(videos)):
                pass
        listed = os.path.join(out, "videos.csv")
        with files.whole(listed) as part, open(part, "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["path", "label", "split", "motion"])
            table.writerows([v.path, v.label, v.split, v.motion] for v in videos)
    except OSError as error:
        raise InputError(f"cannot write the videos to {out}: {error}") from error
    print(f"{len(videos)} videos: {os.path.join(out, 'videos.csv')}")


def main() -> None:
    """Runs `make` from the flags."""
    make(flags.FLAGS.out, flags.FLAGS.seed, flags.FLAGS.limit)


if __name__ == "__main__":
    flags.DEFINE_string("out", None, "Folder to write to.", required=True)
    flags.DEFINE_integer("seed", 0, "Seed of every random draw.", lower_bound=0)
    flags.DEFINE_integer(
        "limit", None, "Make only this many videos, from the first.", lower_bound=1
    )
    command.run("data_prep.moving_digits", main)
