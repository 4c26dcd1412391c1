"""Which videos are trained on, and which are held out."""

import dataclasses

import numpy as np
import pytest

from vie_tf.data.splits import training_split
from vie_tf.data.videos import VideoSet
from vie_tf.errors import InputError


def sets(*splits):
    count = len(splits)
    ones = np.ones(count, np.int64)
    ids = [str(n) for n in range(count)]
    return VideoSet(ids, -ones, [], np.array(splits), ones, ones, ones, ones, None)


@pytest.mark.parametrize(
    "splits, share, train, held_out",
    [
        (["train", "train", "test", ""], 0.1, ["0", "1"], ["2"]),
        (["", "", "test"], 0.1, ["0", "1"], ["2"]),
        (["", "", ""], 0.1, ["0", "1", "2"], []),
        (["train", "train"], 0, ["0", "1"], []),
    ],
)
def test_training_split(splits, share, train, held_out):
    found = training_split(sets(*splits), share, 0)
    assert [part.ids for part in found] == [train, held_out]


@pytest.mark.parametrize("split", ["", "train"])
def test_at_least_two_are_held_out(split):
    train, held_out = training_split(sets(*[split] * 5), 0.1, 0)
    assert len(held_out) == 2 and sorted(train.ids + held_out.ids) == list("01234")


def test_a_classifier_keeps_a_video_of_each_class():
    """And draws as ever where it would have one anyway."""
    videos = dataclasses.replace(sets(*[""] * 9), labels=np.array([0, 0, 0, 0, 1, 1, 1, 2, 2]))
    lost = 0
    for seed in range(30):
        plain = training_split(videos, 0.4, seed)
        train, held_out = training_split(videos, 0.4, seed, classes=True)
        assert set(train.labels) == {0, 1, 2} and len(held_out) == 3
        assert sorted(train.ids + held_out.ids) == videos.ids
        if set(plain[0].labels) == {0, 1, 2}:
            assert [train.ids, held_out.ids] == [part.ids for part in plain]
        else:
            lost += 1
    assert 0 < lost < 30
    alone = dataclasses.replace(videos, labels=np.arange(9))
    train, held_out = training_split(alone, 0.4, 0, classes=True)
    assert train.ids == videos.ids and not len(held_out)


def test_only_test_videos_are_refused():
    with pytest.raises(InputError, match="nothing to train on"):
        training_split(sets("test", "test"), 0.1, 0)
