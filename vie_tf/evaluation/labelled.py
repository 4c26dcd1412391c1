"""Checks whether the labels of training and test videos make a fair test."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import compress

import numpy as np
import tensorflow as tf

from vie_tf.data.pipeline import as_it_is
from vie_tf.data.videos import VideoSet
from vie_tf.errors import InputError
from vie_tf.progress import track

NAMED = 5  # classes that a message names


def labelled_split(train: VideoSet, test: VideoSet, where: str) -> tuple[VideoSet, list[str]]:
    """Returns the labelled videos of a classifier's test set, perhaps none, and notes.

    Raises:
        InputError: as for `check_labels`.
    """
    said = check_labels(_classes(train), _classes(test), where)
    labelled = test.subset(test.labels >= 0)
    if count := overlap(train, labelled):
        said.append(same_videos(count, labelled))
    return labelled, said


def check_splits(train: Collection, test: Collection, where: str) -> None:
    """Raises InputError if there are no videos to train on, or none to test with."""
    if not len(train) or not len(test):
        raise InputError(f"{where}: no train and test split; give a CSV with a split column")


def check_labels(
    train: Mapping[str, int], test: Mapping[str, int], where: str, learned: bool = True
) -> list[str]:
    """Returns notes on the labels of a training and a test set, one line each.

    Args:
        train: how many training videos have each label; under '' those without.
        test: the same for the test videos; may be empty.
        where: the mode and the data, to begin a message with.
        learned: whether a classifier learns from the training videos: then it is an error if one
            has no label, or none has a test video's label. If they are searched, it is a note.

    Raises:
        InputError: there is nothing to distinguish, or to test with.
    """
    classes, tested = set(train) - {""}, set(test) - {""}
    foreign, single = tested - classes, {name for name in classes if train[name] == 1}
    unknown, unasked = (
        f"{part.get('', 0)} of {sum(part.values())} {what} videos have no label"
        for part, what in ((train, "training"), (test, "test"))
    )
    if "" in train and (learned or not classes):
        hint = "give a CSV with a label column, or class sub-folders"
        raise InputError(f"{where}: {unknown}; {hint}")
    if "" in test and not tested:
        raise InputError(f"{where}: no test video has a label; fill in the CSV's label column")
    if len(classes) < 2:
        raise InputError(f"{where}: all training videos have one label; give two classes or more")
    if foreign and (learned or foreign == tested):
        raise InputError(
            f"{where}: no training video has the label of some test videos: {_named(foreign)}; "
            "add some, or leave those test videos out"
        )
    notes = {
        unknown: "" in train,
        unasked: "" in test,
        f"no training video of {_named(foreign)}: their test videos count as wrong": foreign,
        f"no test video of {_named(classes - tested)}": tested and classes - tested,
        f"only one training video of {_named(single)}": single,
    }
    return [note for note, there in notes.items() if there]


def same_videos(count: int, test: VideoSet) -> str:
    """Returns a note on an `overlap`."""
    return (
        f"{count} of {len(test)} test videos are in the training set under another name: what is "
        "measured with them will be too high"
    )


def overlap(train: VideoSet, test: VideoSet) -> int:
    """Counts the test videos that are also training videos: equal file lengths and frames.

    If bytes, frames, height and width are equal, the first frames are compared, and if these are
    equal too, the middle and the last ones.
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
    """Returns the videos of two sets whose key also occurs in the other set, and their keys."""
    keys = [list(of_part) for of_part in keys]
    shared = set(keys[0]).intersection(keys[1])
    chosen = [np.array([key in shared for key in of_part], bool) for of_part in keys]
    return (
        [part.subset(rows) for part, rows in zip(parts, chosen)],
        [list(compress(of_part, rows)) for of_part, rows in zip(keys, chosen)],
    )


def _fingerprints(videos: VideoSet, frames: np.ndarray) -> Iterator[bytes]:
    """Yields a fingerprint of the stored frames int64 [N, T] of each video."""

    def look(number: tf.Tensor, chosen: tf.Tensor, size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = videos.read(number, chosen, tf.concat([[0, 0], size], axis=0))
        return tf.fingerprint(found.stored), found.problem

    rows = tf.data.Dataset.from_tensor_slices((videos.numbers, frames, videos.sizes))
    looks = rows.map(as_it_is(look), num_parallel_calls=tf.data.AUTOTUNE)
    for fingerprint, problem in track(looks.as_numpy_iterator(), "comparing videos", len(videos)):
        yield problem or fingerprint.tobytes()  # a problem names its video, so it is unique


def _first_rows(videos: VideoSet) -> np.ndarray:
    """Returns one row of each video, which has several if rows are bins."""
    return np.unique(videos.numbers, return_index=True)[1]


def _classes(videos: VideoSet) -> dict[str, int]:
    """Counts the videos of each label, '' where unknown."""
    labels, counts = np.unique(videos.labels[_first_rows(videos)], return_counts=True)
    return dict(zip(np.array([*videos.label_names, ""])[labels].tolist(), counts.tolist()))


def _named(classes: Collection[str]) -> str:
    more = f" and {len(classes) - NAMED} more" if len(classes) > NAMED else ""
    return ", ".join(sorted(classes)[:NAMED]) + more
