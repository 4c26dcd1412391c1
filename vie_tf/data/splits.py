"""Chooses the videos to train on, and those to evaluate on during training."""

from __future__ import annotations

import numpy as np

from vie_tf.data.videos import VideoSet
from vie_tf.errors import InputError

# Evaluations during training use no more held-out videos than this.
WATCHED = 1000


def training_split(
    videos: VideoSet, share: float, seed: int, classes: bool = False
) -> tuple[VideoSet, VideoSet]:
    """Returns the videos to train on, and others to evaluate on during training.

    Training uses the train split or, if there is none, videos of no split; never the test split,
    which is for evaluation. If there is no test split, a random share is held out: at least 2, so
    that there is something to distinguish, and none of fewer than 4 videos.

    Args:
        videos: all.
        share: of the videos to hold out, in 0..1.
        seed: of the draw.
        classes: whether a classifier is trained: then one video of each class is not held out,
            even if fewer than 2 others are. If no class would be held out wholly, the draw is the
            same.

    Raises:
        InputError: all videos are in the test split.
    """
    test = np.flatnonzero(videos.splits == "test")
    train = np.flatnonzero(videos.splits == "train")
    if not len(train):
        train = np.flatnonzero(videos.splits == "")
    if not len(train):
        raise InputError("every video has the split test: there is nothing to train on")
    if not len(test) and share and len(train) >= 4:
        order = np.random.default_rng(seed).permutation(train)
        count = max(2, int(share * len(order)))
        if classes:  # the last one of each class is excluded from the draw
            last = -1 - np.unique(videos.labels[order[::-1]], return_index=True)[1]
            order = np.concatenate([np.delete(order, last), order[last]])
            count = min(count, len(order) - len(last))
        test, train = np.sort(order[:count]), np.sort(order[count:])
    return videos.subset(train), videos.subset(test)


def watched(held_out: VideoSet, seed: int) -> VideoSet:
    """Returns the held-out videos for evaluations during training: not all of a large set."""
    if len(held_out) <= WATCHED:
        return held_out
    rows = np.random.default_rng(seed).choice(len(held_out), WATCHED, replace=False)
    return held_out.subset(np.sort(rows))


def subset_rows(videos: int, share: float, seed: int, legacy: bool = False) -> np.ndarray:
    """Draws the videos to train on (paper's "70%" and "30%" of Kinetics).

    Args:
        videos: N, how many there are.
        share: p, in 0..1; 1 always takes all.
        seed: of the draw.
        legacy: draw as the authors do: with replacement, from their own seed. Half of the paper's
            70 % are distinct, and a video that is drawn twice has two rows of the bank.

    Returns:
        int64 [int(N p)], ascending, in 0..N-1; distinct unless `legacy`.

    Raises:
        InputError: no video is left.
    """
    if share == 1:
        return np.arange(videos)
    count = int(videos * share)
    if not count:
        raise InputError(f"--subset={share} of {videos} videos leaves none: give a larger share")
    if legacy:
        return np.sort(np.random.RandomState(0).choice(videos, count))
    return np.sort(np.random.default_rng((seed, 1)).choice(videos, count, replace=False))


def split_line(videos: VideoSet, train: VideoSet, held_out: VideoSet) -> str:
    """Describes which videos are used for what."""
    line = f"{len(train)} videos to train on, {len(held_out) or 'none'} held out"
    if (train.splits == "train").any() and (videos.splits == "").any():
        line += f", {(videos.splits == '').sum()} of no split left out"
    if len(held_out) < 2:
        line += " (so no recall at 1: only the loss shows how it goes)"
    return line
