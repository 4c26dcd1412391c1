"""From a set of videos to batches of clips.

A batch is a dict: `clip` uint8 [B, T, H, W, 3], `index` int64 [B] (row of the memory bank),
`label` int64 [B] (-1 where unknown), `seed` int32 [B, 2] (of the colour noise).
"""

from __future__ import annotations

import tensorflow as tf

from vie_tf.data import augmentation, sampling
from vie_tf.data.videos import VideoSet


def _columns(videos: VideoSet):
    return tuple(
        tf.constant(column)
        for column in (videos.numbers, videos.labels, videos.frames, videos.sizes)
    )


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
    numbers, labels, frames, sizes = _columns(videos)
    count = len(videos.ids)

    def clip(position):
        epoch, index = epoch_order(position, count, seed)
        frame_seed, crop_seed, colour_seed = tf.unstack(
            tf.random.experimental.stateless_split(clip_seed(seed, epoch, index), 3)
        )
        chosen = sampling.random_frame(frames[index], frame_seed)
        crop = augmentation.random_crop(sizes[index], image_size, crop_seed)
        pixels = augmentation.cut(
            lambda box: videos.read(numbers[index], chosen, box), sizes[index], crop, image_size
        )
        pixels.set_shape((1, image_size, image_size, 3))
        return {"clip": pixels, "index": index, "label": labels[index], "seed": colour_seed}

    stream = tf.data.Dataset.range(first_step * batch_size, last_step * batch_size)
    stream = stream.map(clip, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return stream.batch(batch_size, drop_remainder=True).prefetch(2)


def test_clips(
    videos: VideoSet, image_size: int, clips: int = 5, batch_size: int = 64
) -> tf.data.Dataset:
    """Batches of `clips` equally spaced clips of each video, in order, videos slowest.

    The last batch may be smaller: none is dropped.
    """
    numbers, _, frames, sizes = _columns(videos)

    def clip(position):
        index = position // clips
        chosen = sampling.equally_spaced_frames(frames[index], clips)[position % clips]
        crop = augmentation.centre_crop(sizes[index], image_size)
        pixels = augmentation.cut(
            lambda box: videos.read(numbers[index], chosen, box), sizes[index], crop, image_size
        )
        pixels.set_shape((1, image_size, image_size, 3))
        return pixels

    stream = tf.data.Dataset.range(len(videos.ids) * clips)
    stream = stream.map(clip, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return stream.batch(batch_size).prefetch(2)


def half_clips(
    videos: VideoSet, image_size: int, seed: int, queries: int = 4, batch_size: int = 64
) -> tf.data.Dataset:
    """For recall at 1: augmented clips of each video's first half, plain clips of its second.

    Returns:
        Batches of `clip` uint8 [B, 1, image_size, image_size, 3] and `seed` int32 [B, 2]; for each
        video in order `queries` augmented clips, then as many equally spaced plain ones.
    """
    numbers, _, frames, sizes = _columns(videos)

    def clip(position):
        index, place = position // (2 * queries), position % (2 * queries)
        draws = tf.random.experimental.stateless_split(clip_seed(seed, place, index), 3)
        half = frames[index] // 2
        if place < queries:
            chosen = sampling.random_frame(half, draws[0])
            crop = augmentation.random_crop(sizes[index], image_size, draws[1])
        else:
            rest = sampling.equally_spaced_frames(frames[index] - half, queries)
            chosen = half + rest[place - queries]
            crop = augmentation.centre_crop(sizes[index], image_size)
        pixels = augmentation.cut(
            lambda box: videos.read(numbers[index], chosen, box), sizes[index], crop, image_size
        )
        pixels.set_shape((1, image_size, image_size, 3))
        return {"clip": pixels, "seed": draws[2]}

    stream = tf.data.Dataset.range(len(videos.ids) * 2 * queries)
    stream = stream.map(clip, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return stream.batch(batch_size).prefetch(2)
