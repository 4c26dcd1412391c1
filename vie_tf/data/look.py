"""What training sees of the videos: plain clips, and augmented ones."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from vie_tf.data import pipeline
from vie_tf.data.augmentation import Augmentation, colour_noise
from vie_tf.data.frames import Frames
from vie_tf.data.sampling import Sampling
from vie_tf.data.videos import VideoSet, why_unreadable
from vie_tf.errors import InputError

ROWS = 4  # of videos
ACROSS = 8  # frames side by side: short clips of several videos share a row


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
    count = min(ROWS * max(1, ACROSS // sampling.frames), len(train))

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
