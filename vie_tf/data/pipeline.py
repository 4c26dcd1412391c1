"""From a set of videos to batches of clips.

A batch is a dict: `clip` uint8 [B, T, H, W, 3], `index` int64 [B] (row of the memory bank),
`label` int64 [B] (-1 where unknown), `seed` int32 [B, 2] (of the colour noise).
"""

from __future__ import annotations

from typing import Callable

import tensorflow as tf

from vie_tf.data import augmentation, sampling
from vie_tf.data.videos import VideoSet

EVALUATION_BATCH = 64


def clip_seed(seed: int, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """int32 [2]: the seed of everything random in one video's clip of one epoch."""
    seed = tf.stack([tf.cast(seed, tf.int32), tf.cast(epoch, tf.int32)])
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(index, tf.int32))


def epoch_order(position: tf.Tensor, videos: int, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Epoch and video at a place of the endless shuffled stream, int64 [] each.

    Each epoch is a permutation of its own of all videos. Since it is a function of the place, a
    run can go on from any step without reading what came before.
    """
    epoch, place = position // videos, position % videos
    key = tf.stack([tf.cast(seed, tf.int32), tf.cast(epoch, tf.int32)])
    return epoch, tf.random.experimental.index_shuffle(place, key, videos - 1)


def _clips(
    videos: VideoSet, image_size: int, positions: tf.data.Dataset, plan: Callable
) -> tf.data.Dataset:
    """Maps positions to clips; plan(position) is index, frame choice, crop choice, colour seed."""
    numbers, labels, frames, sizes = (
        tf.constant(column)
        for column in (videos.numbers, videos.labels, videos.frames, videos.sizes)
    )

    def clip(position):
        index, choose_frames, choose_crop, colour_seed = plan(position)
        chosen, crop = choose_frames(frames[index]), choose_crop(sizes[index])
        pixels = augmentation.cut(
            lambda box: videos.read(numbers[index], chosen, box), sizes[index], crop, image_size
        )
        pixels.set_shape((1, image_size, image_size, 3))
        return {"clip": pixels, "index": index, "label": labels[index], "seed": colour_seed}

    return positions.map(clip, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def training_batches(
    videos: VideoSet,
    batch_size: int,
    image_size: int,
    seed: int,
    first_step: int,
    last_step: int,
) -> tf.data.Dataset:
    """Batches of augmented clips for steps first_step..last_step-1.

    The stream runs on over epoch ends, so every video is seen equally often whatever the batch
    size; a batch across an end may hold a video twice.

    Args:
        videos: the training videos.
        batch_size: B, the global one.
        image_size: H = W in pixels.
        seed: the run's seed.
        first_step: steps already taken.
        last_step: where the run ends.
    """

    def plan(position):
        epoch, index = epoch_order(position, len(videos.ids), seed)
        return _augmented(clip_seed(seed, epoch, index), index, image_size, lambda n: n)

    positions = tf.data.Dataset.range(first_step * batch_size, last_step * batch_size)
    clips = _clips(videos, image_size, positions, plan)
    return clips.batch(batch_size, drop_remainder=True).prefetch(2)


def test_batches(
    videos: VideoSet, image_size: int, clips: int = 5, batch_size: int = EVALUATION_BATCH
) -> tf.data.Dataset:
    """Batches of `clips` equally spaced plain clips of each video, in order, videos slowest.

    The last batch may be smaller: none is dropped.
    """
    positions = tf.data.Dataset.range(len(videos.ids) * clips)
    plan = _plain(clips, image_size, lambda n: (tf.constant(0, tf.int64), n))
    return _clips(videos, image_size, positions, plan).batch(batch_size).prefetch(2)


def first_half_batches(
    videos: VideoSet, image_size: int, seed: int, clips: int, batch_size: int = EVALUATION_BATCH
) -> tf.data.Dataset:
    """As `training_batches` looks, but in order, `clips` of the first half of each video."""

    def plan(position):
        index = position // clips
        drawn = clip_seed(seed, position % clips, index)
        return _augmented(drawn, index, image_size, lambda n: n // 2)

    positions = tf.data.Dataset.range(len(videos.ids) * clips)
    return _clips(videos, image_size, positions, plan).batch(batch_size).prefetch(2)


def second_half_batches(
    videos: VideoSet, image_size: int, clips: int, batch_size: int = EVALUATION_BATCH
) -> tf.data.Dataset:
    """As `test_batches`, of the second half of each video."""
    positions = tf.data.Dataset.range(len(videos.ids) * clips)
    plan = _plain(clips, image_size, lambda n: (n // 2, n))
    return _clips(videos, image_size, positions, plan).batch(batch_size).prefetch(2)


def _augmented(seed, index, image_size: int, usable: Callable):
    """A random frame of the first usable(n) of n, random crop, colour noise to come."""
    frame_seed, crop_seed, colour_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    return (
        index,
        lambda n: sampling.random_frame(usable(n), frame_seed),
        lambda size: augmentation.random_crop(size, image_size, crop_seed),
        colour_seed,
    )


def _plain(clips: int, image_size: int, part: Callable):
    """Equally spaced frames of the part [start, end) of n frames, centre crop."""

    def plan(position):
        def choose(n):
            start, end = part(n)
            return start + sampling.equally_spaced_frames(end - start, clips)[position % clips]

        return (
            position // clips,
            choose,
            lambda size: augmentation.centre_crop(size, image_size),
            tf.zeros(2, tf.int32),
        )

    return plan
