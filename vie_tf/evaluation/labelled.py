"""Whether training and test videos make a fair test of a classifier."""

from __future__ import annotations

import numpy as np

from vie_tf.data.frames import pixels
from vie_tf.data.videos import VideoSet
from vie_tf.errors import InputError

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

    Looked at are the first, middle and last frame of files that have the same number of bytes.
    """
    rows: dict[tuple, list[int]] = {}
    for row in _first_rows(train):
        rows.setdefault(_outside(train, row), []).append(row)
    count = 0
    for row in range(len(test)):
        near = rows.get(_outside(test, row), ())
        if near:
            own = _frames(test, row)
            count += any(np.array_equal(own, _frames(train, other)) for other in near)
    return count


def _first_rows(videos: VideoSet) -> np.ndarray:
    """One row of each video, of which there are several where rows are bins."""
    return np.unique(videos.numbers, return_index=True)[1]


def _outside(videos: VideoSet, row: int) -> tuple:
    return int(videos.file_bytes[row]), int(videos.frames[row]), *videos.sizes[row].tolist()


def _frames(videos: VideoSet, row: int) -> np.ndarray:
    """First, middle and last frame; one that is like no other where they cannot be read."""
    n = int(videos.frames[row])
    frames = videos.read_row(row, [0, n // 2, n - 1])
    if frames.problem.numpy():  # training and tests will tell
        return np.full(1, np.nan)
    return pixels(frames).numpy()


def _named(videos: VideoSet, classes: np.ndarray) -> str:
    names = [videos.label_names[label] for label in classes[:NAMED]]
    more = f" and {len(classes) - NAMED} more" if len(classes) > NAMED else ""
    return ", ".join(names) + more
