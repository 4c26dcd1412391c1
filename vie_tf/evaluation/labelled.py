"""Whether training and test videos make a fair test of a classifier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import compress

import numpy as np
import tensorflow as tf

from vie_tf.data.videos import VideoSet
from vie_tf.errors import InputError
from vie_tf.progress import track

NAMED = 5  # classes that a message names


def labelled_splits(videos: VideoSet, where: str) -> tuple[VideoSet, VideoSet, list[str]]:
    """The train and the test split of a classifier, and notes; as `labelled_split`, on which see.

    Raises:
        InputError: one of them is missing too.
    """
    train, test = (videos.subset(videos.splits == split) for split in ("train", "test"))
    if not len(train) or not len(test):
        raise InputError(f"{where}: no train and test split; give a CSV with a split column")
    return train, *labelled_split(train, test, where)


def labelled_split(train: VideoSet, test: VideoSet, where: str) -> tuple[VideoSet, list[str]]:
    """Checks the labels of a training and a test set.

    Args:
        train: what a classifier learns from; all need labels.
        test: what it is tested on; may be empty.
        where: the mode and the data, in front of a message.

    Returns:
        The test videos that have a label, and what should be known of the split, in lines.

    Raises:
        InputError: labels are missing, or of a class of test videos there is none to learn from.
    """
    unknown = int((train.labels < 0).sum())
    if unknown:
        raise InputError(
            f"{where}: {unknown} of {len(train)} training videos have no label; give a CSV with a "
            "label column, or class sub-folders"
        )
    labelled = test.subset(test.labels >= 0)
    if len(test) and not len(labelled):
        raise InputError(f"{where}: no test video has a label; fill in the CSV's label column")
    learned, videos = np.unique(train.labels[_first_rows(train)], return_counts=True)
    tested = np.unique(labelled.labels)
    if len(learned) < 2:
        raise InputError(f"{where}: all training videos have one label; give two classes or more")
    if len(foreign := np.setdiff1d(tested, learned)):
        raise InputError(
            f"{where}: no training video has the label of some test videos: "
            f"{_named(train, foreign)}; add some, or leave those test videos out"
        )
    said = []
    if len(labelled) < len(test):
        said.append(f"{len(test) - len(labelled)} of {len(test)} test videos have no label")
    if len(labelled) and len(untested := np.setdiff1d(learned, tested)):
        said.append(f"no test video of {_named(train, untested)}")
    if (videos == 1).any():
        said.append(f"only one training video of {_named(train, learned[videos == 1])}")
    if count := overlap(train, labelled):
        said.append(same_videos(count, labelled))
    return labelled, said


def same_videos(count: int, test: VideoSet) -> str:
    """What is to be known of an `overlap`."""
    return (
        f"{count} of {len(test)} test videos are in the training set under another name: what is "
        "measured with them will be too high"
    )


def overlap(train: VideoSet, test: VideoSet) -> int:
    """How many test videos are training videos too: files of one length, with the same frames.

    Where bytes, frames, height and width are the same the first frame is looked at, and where that
    is the same too, the middle and the last one.
    """
    parts = [train.subset(_first_rows(train)), test]
    keys = [zip(p.file_bytes.tolist(), p.frames.tolist(), *p.sizes.T.tolist()) for p in parts]
    parts, keys = _alike(parts, keys)
    for chosen in (lambda n: [np.zeros_like(n)], lambda n: [n // 2, n - 1]):
        looks = [_fingerprints(part, np.stack(chosen(part.frames), axis=1)) for part in parts]
        parts, keys = _alike(parts, [zip(*both) for both in zip(looks, keys)])
        if (parts[1].frames == 1).all():  # seen whole
            break
    return len(parts[1])


def _alike(parts: list[VideoSet], keys: list[Iterable]) -> tuple[list[VideoSet], list[list]]:
    """The videos of two sets whose key a video of the other set has too, and their keys."""
    keys = [list(of_part) for of_part in keys]
    shared = set(keys[0]).intersection(keys[1])
    chosen = [np.array([key in shared for key in of_part], bool) for of_part in keys]
    return (
        [part.subset(rows) for part, rows in zip(parts, chosen)],
        [list(compress(of_part, rows)) for of_part, rows in zip(keys, chosen)],
    )


def _fingerprints(videos: VideoSet, frames: np.ndarray) -> Iterator[bytes]:
    """What tells the frames int64 [N, T] of videos from others, as they are stored."""

    def look(number: tf.Tensor, chosen: tf.Tensor, size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = videos.read(number, chosen, tf.concat([[0, 0], size], axis=0))
        return tf.fingerprint(found.stored), found.problem

    rows = tf.data.Dataset.from_tensor_slices((videos.numbers, frames, videos.sizes))
    looks = rows.map(look, num_parallel_calls=tf.data.AUTOTUNE)
    for fingerprint, problem in track(looks.as_numpy_iterator(), "comparing videos", len(videos)):
        yield problem or fingerprint.tobytes()  # a problem names its video, and is like no other


def _first_rows(videos: VideoSet) -> np.ndarray:
    """One row of each video, of which there are several where rows are bins."""
    return np.unique(videos.numbers, return_index=True)[1]


def _named(videos: VideoSet, classes: np.ndarray) -> str:
    names = [videos.label_names[label] for label in classes[:NAMED]]
    more = f" and {len(classes) - NAMED} more" if len(classes) > NAMED else ""
    return ", ".join(names) + more
