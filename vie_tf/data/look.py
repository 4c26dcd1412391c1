"""Draws what training sees of the videos: plain clips above augmented ones."""

from __future__ import annotations

import logging
import pathlib
import warnings
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from vie_tf.data import pipeline
from vie_tf.data.augmentation import Augmentation, colour_noise
from vie_tf.data.frames import Frames
from vie_tf.data.sampling import Sampling
from vie_tf.data.videos import VideoSet, why_unreadable
from vie_tf.errors import InputError
from vie_tf.evaluation.retrieval import short

ROWS = 4  # of videos
_ACROSS = 8  # frames side by side: short clips of several videos share a row
_DPI = 100


@dataclass(frozen=True)
class Clip:
    """One clip of a video.

    Attributes:
        pixels: uint8 [T, H, W, 3], RGB.
        frames: int64 [T], their numbers in the video, from 0.
    """

    pixels: np.ndarray
    frames: np.ndarray


@dataclass(frozen=True)
class Look:
    """One video as training sees it.

    Attributes:
        id: the video's id.
        label: its label's name, '' where unknown.
        length: frames of the video.
        plain: the middle clip, with only a centre crop.
        augmented: the first clip of it that training sees.
    """

    id: str
    label: str
    length: int
    plain: Clip
    augmented: Clip


def first_looks(
    train: VideoSet,
    sampling: Sampling,
    image_size: int,
    seed: int,
    augmentation: Augmentation,
) -> list[Look]:
    """Returns the first clips of a training run, from the pipeline that makes its batches.

    Args:
        train: what is trained on.
        sampling: which frames make a clip; T is its `frames`.
        image_size: H = W in pixels.
        seed: the run's seed.
        augmentation: of the run.

    Returns:
        As many videos as fill a picture, or as there are, in the order of training. A video of
        which either clip cannot be read is left out, with a warning.

    Raises:
        InputError: no video is left.
    """
    count = min(ROWS * max(1, _ACROSS // sampling.frames), len(train))

    def trained(videos: VideoSet) -> dict[str, tf.Tensor]:
        batches = pipeline.training_batches(
            videos, sampling, count, image_size, seed, 0, 1, augmentation
        )
        return next(iter(batches))

    batch = trained(train)
    lost = batch["unreadable"].numpy()
    rows = np.where(lost < 0, batch["index"].numpy(), lost)

    def tested(videos: VideoSet) -> dict[str, tf.Tensor]:
        clips = pipeline.TestClips(sampling, image_size, 1)
        return next(iter(pipeline.test_batches(videos, clips, skip=True)))  # all of them

    plain = tested(train.subset(rows))
    read = (lost < 0) & (plain["unreadable"].numpy() < 0)
    for row in rows[~read]:
        logging.getLogger(__name__).warning("left out %s", why_unreadable(train, row))
    if not read.any():
        raise InputError(f"none of {count} videos can be read; fix them, or copy them again")
    drawn = train.subset(rows[read])
    noisy = colour_noise(batch["clip"], batch["seed"], augmentation.colour).numpy()
    noisy = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    augmented = map(Clip, noisy[read], _numbers(trained(_numbered(train))["clip"])[read])
    plain = map(Clip, plain["clip"].numpy()[read], _numbers(tested(_numbered(drawn))["clip"]))
    return list(map(Look, drawn.ids, drawn.names, drawn.frames.tolist(), plain, augmented))


def _numbered(videos: VideoSet) -> VideoSet:
    """Returns the same videos, with each frame in a single colour that encodes its number.

    The pipeline does not report which frames it takes; sent through it, these reveal them.
    """

    def read(_: tf.Tensor, frames: tf.Tensor, box: tf.Tensor, portable: bool = False) -> Frames:
        digits = tf.stack([frames % 256, frames // 256 % 256, frames // 65536], axis=-1)
        fill = lambda colour: tf.broadcast_to(colour, tf.stack([box[2], box[3], 3]))  # noqa: E731
        return Frames(tf.cast(digits, tf.uint8), fill, tf.constant(""))

    return replace(videos, read=read)


def _numbers(clips: tf.Tensor) -> np.ndarray:
    """Returns frame numbers of clips of `_numbered`: uint8 [B, T, H, W, 3] -> int64 [B, T]."""
    return clips[:, :, 0, 0].numpy().astype(np.int64) @ [1, 256, 65536]


def contact_sheet(path: str, looks: list[Look]) -> None:
    """Draws videos below each other, each with a strip of plain and one of augmented frames.

    Each video's id, label and length are above it, as is each frame's number. Clips of few frames
    are side by side.

    Args:
        path: the PNG to write.
        looks: at least one, all of clips of T frames.
    """
    frames = len(looks[0].plain.frames)
    across = min(max(1, _ACROSS // frames), len(looks))
    down = -(-len(looks) // across)
    cell = min(1.4, 16 / frames)  # inches
    margin, gap, title, number = 0.3, 0.06, 0.42, 0.18
    block = (frames * (cell + gap) + 2 * gap, title + 2 * (number + cell) + 0.15)
    # A title needs room for about three words, however short the clip.
    width = max(margin + across * block[0] + gap, 2.6)
    height = down * block[1] + gap
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")

    def write(text: str, x: float, y: float, size: int, color: str = "#202020", **options) -> None:
        # A $ in a file name is literal.
        place = (x / width, 1 - y / height)
        figure.text(*place, text, fontsize=size, color=color, parse_math=False, **options)

    for place, look in enumerate(looks):
        left = margin + place % across * block[0]
        top = gap + place // across * block[1]
        letters = int((width - left if across == 1 else block[0]) * _DPI / 7.8)
        write(short(look.id, letters), left, top + 0.15, 8, fontweight="bold")
        about = f"{look.label}, " if look.label else ""
        write(short(f"{about}{look.length} frames", letters), left, top + 0.31, 8)
        for strip, (name, clip) in enumerate(
            (("plain", look.plain), ("augmented", look.augmented))
        ):
            y = top + title + strip * (number + cell) + number
            if place % across == 0:
                options = {"rotation": 90, "ha": "center", "va": "center"}
                write(name, margin / 2, y + cell / 2, 8, "#606060", **options)
            for column, (pixels, frame) in enumerate(zip(clip.pixels, clip.frames)):
                x = left + column * (cell + gap)
                write(str(frame), x + cell / 2, y - 0.03, 7, "#606060", ha="center")
                box = (x / width, 1 - (y + cell) / height, cell / width, cell / height)
                axes = figure.add_axes(box)
                # Tiny frames are not smoothed.
                tiny = len(pixels) <= cell * _DPI / 2
                axes.imshow(pixels, interpolation="nearest" if tiny else "antialiased")
                axes.set_axis_off()
    with warnings.catch_warnings():
        # A character that the font lacks is drawn as a box; the user need not be warned.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(pathlib.Path(path), format="png", dpi=_DPI)
