"""Makes batches of clips from a set of videos.

A batch is a dict: `clip` uint8 [B, T, H, W, 3] (T is the sampling's `frames`), `index` int64 [B]
(row of the set, and of the memory bank), `label` int64 [B] (-1 where unknown), `seed` int32 [B, 2]
(of the colour noise). Crop, flip and colour are drawn once per clip, alike for all its frames.
Training batches, and test batches with `skip`, also have `unreadable` int64 [B]: the row of the
video that belongs there but could not be read, else -1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy as np
import tensorflow as tf

from vie_tf.data.augmentation import VIE_AUGMENTATION, Augmentation
from vie_tf.data.crops import CENTRE, TestCrops
from vie_tf.data.frames import cut, raise_problem
from vie_tf.data.sampling import TEST_CLIPS, Sampling
from vie_tf.data.videos import VideoSet

EVALUATION_BATCH = 64
# What is mapped has no Python loops over tensors. TensorFlow would look for some in all that it
# calls, for about a second.
as_it_is = tf.autograph.experimental.do_not_convert


@dataclass(frozen=True)
class TestClips:
    """The clips of a video that a test uses.

    Attributes:
        sampling: which frames make a clip; T is its `frames`.
        image_size: H = W in pixels.
        count: how many, evenly spaced; 0: all consecutive ones without overlap.
        crops: how each is cropped; each of several views counts as a clip.
    """

    __test__ = False  # pytest would take it for a test
    sampling: Sampling
    image_size: int
    count: int = TEST_CLIPS
    crops: TestCrops = CENTRE

    def choose(self, n: tf.Tensor) -> tf.Tensor:
        """Returns the frames of the clips of a video of n frames: int64 [] -> int64 [G, T]."""
        return self.sampling.spaced(n, self.count) if self.count else self.sampling.consecutive(n)

    def counts(self, videos: VideoSet) -> np.ndarray:
        """Returns the number of clips of each video, int64 [N], at least 1."""
        if self.count:
            return np.full(len(videos), self.count * self.crops.views)
        lengths, which = np.unique(videos.frames, return_inverse=True)
        clips = [len(self.choose(tf.constant(n, tf.int64))) for n in lengths]
        return np.array(clips, np.int64)[which] * self.crops.views


def clip_seed(seed: int, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Returns the seed, int32 [2], of everything random in one video's clip of one epoch."""
    seed = tf.stack([tf.cast(seed, tf.int32), tf.cast(epoch, tf.int32)])
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(index, tf.int32))


def epoch_order(position: tf.Tensor, videos: int, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns epoch and video at a position of the endless shuffled stream, int64 [] each.

    Each epoch is its own permutation of all videos. Since it is a function of the position, a run
    can resume at any step without reading what came before.
    """
    epoch, place = position // videos, position % videos
    key = tf.stack([tf.cast(seed, tf.int32), tf.cast(epoch, tf.int32)])
    return epoch, tf.random.experimental.index_shuffle(place, key, videos - 1)


def _clips(
    videos: VideoSet,
    sampling: Sampling,
    image_size: int,
    positions: tf.data.Dataset,
    plan: Callable,
    skip: bool = False,
    portable: bool = False,
) -> tf.data.Dataset:
    """Maps positions, int64 [], to single clips.

    plan(position) returns the row, int64 []; a function from a video's length to its frames,
    int64 [] -> int64 [T]; one from its size to the crop, int32 [2] -> Crop; and the colour's seed,
    int32 [2]. With `skip`, an unreadable clip is black, and `unreadable` is its row; without, it
    ends the stream.
    """
    numbers, labels, frames, sizes = (
        tf.constant(column)
        for column in (videos.numbers, videos.labels, videos.frames, videos.sizes)
    )

    def clip(position):
        index, choose_frames, choose_crop, colour_seed = plan(position)
        chosen, crop = choose_frames(frames[index]), choose_crop(sizes[index])
        pixels, problem = cut(
            lambda box: videos.read(numbers[index], chosen, box, portable), crop, image_size
        )
        pixels.set_shape((sampling.frames, image_size, image_size, 3))
        found = {"clip": pixels, "index": index, "label": labels[index], "seed": colour_seed}
        if not skip:
            return {**found, "clip": raise_problem(pixels, problem)}
        return {**found, "unreadable": tf.where(problem == "", tf.cast(-1, tf.int64), index)}

    return positions.map(as_it_is(clip), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _without_unreadable(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Replaces the black clips by other clips of the batch."""
    unreadable = batch.pop("unreadable")
    there = tf.where(unreadable < 0)[:, 0]
    some = tf.debugging.assert_positive(tf.size(there), "no clip of a batch can be read")
    with tf.control_dependencies([some]):  # what follows would fail too, with another message
        there = tf.identity(there)
    place = tf.range(tf.size(unreadable, tf.int64))
    source = tf.where(unreadable < 0, place, tf.gather(there, place % tf.size(there, tf.int64)))
    whole = tf.reduce_all(unreadable < 0)
    batch = {
        name: tf.cond(whole, lambda v=value: v, lambda v=value: tf.gather(v, source))
        for name, value in batch.items()
    }
    return {**batch, "unreadable": unreadable}


def training_batches(
    videos: VideoSet,
    sampling: Sampling,
    batch_size: int,
    image_size: int,
    seed: int,
    first_step: int,
    last_step: int,
    augmentation: Augmentation = VIE_AUGMENTATION,
    service: str | None = None,
) -> tf.data.Dataset:
    """Makes batches of augmented clips for steps first_step..last_step-1.

    The stream continues across epochs, so every row is seen equally often whatever the batch size;
    a batch across the end of an epoch may hold a video twice. A clip that cannot be read is
    replaced by another one of the same batch, so that all other batches stay the same.

    Args:
        videos: the training videos, or their bins.
        sampling: which frames make a clip; T is its `frames`.
        batch_size: B, the global one.
        image_size: H = W in pixels.
        seed: the run's seed.
        first_step: steps already taken.
        last_step: where the run ends.
        augmentation: how the clips are cropped and mirrored; the colour noise comes later.
        service: address of a tf.data service whose workers make the batches, such as
            "grpc://host:5050"; None makes them here. With several workers the batches are the
            same, but their order is not.

    Returns:
        Batches as above, all of B clips. A batch without readable clips raises an error.
    """
    starts = None if videos.starts is None else tf.constant(videos.starts)

    def plan(position):
        epoch, index = epoch_order(position, len(videos.ids), seed)

        def choose(n, frame_seed):
            if starts is None:
                return sampling.random(n, frame_seed)
            return sampling.random(n, frame_seed, tf.unstack(starts[index]))

        drawn = clip_seed(seed, epoch, index)
        return _augmented(drawn, index, image_size, sampling.frames, choose, augmentation)

    # By steps, since a service hands out whole ones.
    positions = tf.data.Dataset.range(first_step, last_step).flat_map(
        lambda step: tf.data.Dataset.range(step * batch_size, (step + 1) * batch_size)
    )
    clips = _clips(videos, sampling, image_size, positions, plan, True, bool(service))
    batches = clips.batch(batch_size, drop_remainder=True).map(as_it_is(_without_unreadable))
    if service:
        batches = batches.apply(
            tf.data.experimental.service.distribute(
                tf.data.experimental.service.ShardingPolicy.DYNAMIC, service
            )
        )
    return batches.prefetch(2)


def test_batches(videos: VideoSet, clips: TestClips, skip: bool = False) -> tf.data.Dataset:
    """Makes batches of plain clips of each video, videos slowest, views of a clip fastest.

    The last batch may be smaller: no clip is dropped.

    Args:
        videos: N of them.
        clips: which clips of each.
        skip: whether a clip that cannot be read is black; otherwise it raises an error.

    Returns:
        Batches as above; the seeds are 0.
    """
    return _plain(videos, clips, clips.choose, skip)


def first_half_batches(
    videos: VideoSet,
    clips: TestClips,
    augmentation: Augmentation = VIE_AUGMENTATION,
) -> tf.data.Dataset:
    """Makes batches of the first half of each video, like `training_batches`, but in order.

    Each call gives the same clips, whatever the run's seed, so that evaluations are comparable.
    Both halves of a still image are the image itself.

    Args:
        videos: as in `test_batches`.
        clips: `count` of each video; the crops are those of the augmentation.
        augmentation: as in `training_batches`.

    Returns:
        Batches as above; the seeds are for the colour noise.
    """
    sampling = clips.sampling

    def plan(position):
        index = position // clips.count
        drawn = clip_seed(0, position % clips.count, index)

        def choose(n, frame_seed):
            return sampling.random(tf.maximum(n // 2, 1), frame_seed)

        return _augmented(drawn, index, clips.image_size, sampling.frames, choose, augmentation)

    return _in_order(videos, clips, len(videos) * clips.count, plan)


def second_half_batches(videos: VideoSet, clips: TestClips) -> tf.data.Dataset:
    """As `test_batches`, for the second half of each video: `count` clips, not all."""
    return _plain(videos, clips, lambda n: n // 2 + clips.choose(n - n // 2))


def _in_order(
    videos: VideoSet, clips: TestClips, count: int, plan: Callable, skip: bool = False
) -> tf.data.Dataset:
    """Makes batches of the clips at positions 0..count-1; the last one may be smaller."""
    positions = tf.data.Dataset.range(count)
    found = _clips(videos, clips.sampling, clips.image_size, positions, plan, skip)
    return found.batch(EVALUATION_BATCH).prefetch(2)


def _augmented(
    seed: tf.Tensor,
    index: tf.Tensor,
    image_size: int,
    frames: int,
    choose: Callable,
    augmentation: Augmentation,
) -> tuple:
    """Returns the plan of one clip: chosen frames, random crop, colour noise to come.

    Args:
        seed: int32 [2], of everything random in the clip.
        index: int64 [], the row.
        image_size: H = W in pixels.
        frames: T.
        choose: frames of the video int64 [], seed int32 [2] -> int64 [T].
        augmentation: as in `training_batches`.
    """
    frame_seed, crop_seed, colour_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    return (
        index,
        lambda n: choose(n, frame_seed),
        lambda size: augmentation.training_crop(size, image_size, frames, crop_seed),
        colour_seed,
    )


def _plain(
    videos: VideoSet, clips: TestClips, choose: Callable, skip: bool = False
) -> tf.data.Dataset:
    """Makes batches of test clips: chosen frames, test crops, no colour noise.

    Args:
        videos: as in `test_batches`.
        clips: as in `test_batches`.
        choose: frames of the video int64 [] -> those of its clips, int64 [G, T].
        skip: as in `test_batches`.
    """
    counts, crops = clips.counts(videos), clips.crops
    ends = tf.constant(np.cumsum(counts))
    starts = tf.constant(np.cumsum(counts) - counts)

    def plan(position):
        index = tf.searchsorted(ends, position[None], side="right", out_type=tf.int64)[0]
        clip = (position - starts[index]) // crops.views
        return (
            index,
            lambda n: choose(n)[clip],
            lambda size: crops.of(size, clips.image_size, position % crops.views),
            tf.zeros(2, tf.int32),
        )

    return _in_order(videos, clips, int(counts.sum()), plan, skip)
