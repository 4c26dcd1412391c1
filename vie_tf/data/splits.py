"""Which videos are trained on, and which ones the training is watched with."""

from __future__ import annotations

import logging

import numpy as np
import tensorflow as tf

from vie_tf.data.videos import VideoSet
from vie_tf.errors import InputError

# Evaluations during training look at no more held-out videos than this.
WATCHED = 1000


def training_split(videos: VideoSet, share: float, seed: int) -> tuple[VideoSet, VideoSet]:
    """Videos to train on, and others to watch the training with.

    Trained on are those of the train split, or where there is none, those of no split; never those
    of the test split, which are the others. Where there is no test split, a random share is held
    out: at least 2, so that there is something to tell apart, and none of fewer than 4 videos.

    Raises:
        InputError: all videos are of the test split.
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
        test, train = np.sort(order[:count]), np.sort(order[count:])
    return videos.subset(train), videos.subset(test)


def watched(held_out: VideoSet, seed: int) -> VideoSet:
    """The held-out videos that evaluations during training look at: not all of a large set."""
    if len(held_out) <= WATCHED:
        return held_out
    rows = np.random.default_rng(seed).choice(len(held_out), WATCHED, replace=False)
    return held_out.subset(np.sort(rows))


def subset_rows(videos: int, share: float, seed: int, legacy: bool = False) -> np.ndarray:
    """Which videos are trained on (paper's "70%" and "30%" of Kinetics).

    Args:
        videos: N, how many there are.
        share: p, in 0..1; 1 takes all, in any case.
        seed: of the draw.
        legacy: as the authors draw: with replacement, from a seed of their own. Of the paper's 70 %
            half are distinct, and a video that was drawn twice has two rows of the bank.

    Returns:
        int64 [int(N p)], ascending, in 0..N-1; distinct unless `legacy`.

    Raises:
        InputError: none are left.
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
    """Says which videos are used for what."""
    line = f"{len(train)} videos to train on, {len(held_out) or 'none'} held out"
    if (train.splits == "train").any() and (videos.splits == "").any():
        line += f", {(videos.splits == '').sum()} of no split left out"
    if len(held_out) < 2:
        line += " (so no recall at 1: only the loss shows how it goes)"
    return line


def labelled_splits(videos: VideoSet, data: str, what: str) -> tuple[VideoSet, VideoSet]:
    """The train and the test split of a classifier; a warning where both have the same videos.

    Args:
        videos: all of them.
        data: where they are from, for the messages.
        what: is done with them, for the messages.

    Raises:
        InputError: a split or a label is missing, or the classes do not do.
    """
    if not videos.label_names:
        raise InputError(f"{what}: {data} has no labels; give a CSV with a label column")
    train, test = (videos.subset(videos.splits == split) for split in ("train", "test"))
    if not len(train) or not len(test):
        raise InputError(
            f"{what}: {data} has no train and test split; give a CSV with a split column"
        )
    for part, split in ((train, "train"), (test, "test")):
        unknown = np.flatnonzero(part.labels < 0)
        if len(unknown):
            raise InputError(
                f"{what}: {len(unknown)} of {len(part)} {split} videos of {data} have no label, "
                f"such as {part.ids[unknown[0]]}; label them, or take them out of the split"
            )
    counts, asked = (
        np.bincount(part.labels, minlength=len(videos.label_names)) for part in (train, test)
    )
    if (unseen := (asked > 0) & (counts == 0)).any():
        raise InputError(
            f"{what}: the test split of {data} has classes of which there is no training video: "
            f"{_names(videos, unseen)}; add some, or leave these classes out"
        )
    if (counts == 1).any():
        raise InputError(
            f"{what}: the train split of {data} has one video only of {_names(videos, counts == 1)}"
            "; give each class two or more, or leave these classes out"
        )
    if (counts > 0).sum() < 2:
        raise InputError(f"{what}: {data} has one class only, {_names(videos, counts > 0)}")
    said = logging.getLogger(__name__).warning
    if (unasked := (counts > 0) & (asked == 0)).any():
        said("%s: no test video of %s in %s", what, _names(videos, unasked), data)
    if same := overlap(train, test):
        said(
            "%s: %d of %d test videos of %s are in the train split too, such as %s: the accuracy "
            "will be too high",
            *(what, len(same), len(test), data, same[0]),
        )
    return train, test


def overlap(train: VideoSet, test: VideoSet, most: int = 1000) -> list[str]:
    """Ids of the test videos that are training videos too, under whatever name.

    Their files are equally long, and a frame in the middle is the same. Of more than `most` such
    pairs of files the first ones are compared.
    """
    known: dict[tuple, list[int]] = {}
    for row, key in enumerate(_lengths(train)):
        known.setdefault(key, []).append(row)
    pairs = ((row, other) for row, key in enumerate(_lengths(test)) for other in known.get(key, ()))
    found: dict[int, None] = {}
    for (row, other), _ in zip(pairs, range(most)):
        if row not in found and np.array_equal(
            _middle_frame(test, row), _middle_frame(train, other)
        ):
            found[row] = None
    return [test.ids[row] for row in found]


def _lengths(videos: VideoSet) -> list[tuple]:
    columns = (videos.file_bytes, videos.frames, videos.sizes)
    return [(n, frames, *size) for n, frames, size in zip(*(c.tolist() for c in columns))]


def _middle_frame(videos: VideoSet, row: int) -> np.ndarray:
    box = tf.constant([0, 0, *videos.sizes[row]], tf.int32)
    middle = tf.constant([videos.frames[row] // 2], tf.int64)
    return videos.read(tf.constant(videos.numbers[row], tf.int64), middle, box).numpy()


def _names(videos: VideoSet, classes: np.ndarray, most: int = 5) -> str:
    """Names of some classes, bool [C]."""
    names = [videos.label_names[label] for label in np.flatnonzero(classes)]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
