"""The linear read-out of features that are computed once."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from vie_tf.evaluation import linear


def clips(labels, spread, seed, values=16, count=5):
    """Features of some clips a video around its class' place, and each clip's video."""
    rng = np.random.default_rng(seed)
    places = np.random.default_rng(0).normal(size=(3, values))
    features = np.repeat(places[labels], count, axis=0)
    features += spread * rng.normal(size=features.shape)
    return features.astype("f4"), np.repeat(np.arange(len(labels)), count)


def accuracy(train, train_labels, test, test_labels, classes=3):
    found = linear.linear_probabilities(*train, train_labels, *test, classes)
    assert found.shape == (len(test_labels), classes) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    return (found.argmax(axis=1) == test_labels).mean()


def test_accuracy_of_what_is_there_and_of_what_is_not():
    labels = np.arange(120) % 3
    train, test = labels[:90], labels[90:]
    assert accuracy(clips(train, 0.3, 1), train, clips(test, 0.3, 2), test) == 1
    nothing = np.random.default_rng(3).permutation(test)
    assert accuracy(clips(train, 0.3, 1), train, clips(nothing, 0.3, 2), test) < 0.7


def test_clips_of_a_video_are_asked_together():
    """What one clip seldom tells, five tell more often."""
    labels = np.arange(600) % 3
    train, test = labels[:300], labels[300:]
    features = clips(train, 4, 1)
    five = accuracy(features, train, clips(test, 4, 2), test)
    assert five > accuracy(features, train, clips(test, 4, 2, count=1), test) + 0.1


def test_a_clip_counts_as_its_share_of_its_video():
    """Otherwise the penalty would be lighter than it was chosen."""
    labels = np.random.default_rng(4).integers(3, size=60)
    one = clips(labels, 3, 1, count=1)
    five = np.repeat(one[0], 5, axis=0), np.repeat(one[1], 5)
    found = [linear.linear_probabilities(*x, labels, *one, 3) for x in (one, five)]
    np.testing.assert_allclose(*found, atol=0.01)


def test_classes_need_not_be_numbered_without_gaps():
    labels = np.array([2, 7] * 20)
    features = clips(labels // 5, 0.1, 1)
    assert accuracy(features, labels, features, labels, classes=9) == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("labels", [[0, 1], [0, 0, 1], [0, 1, 2]])
def test_one_video_of_a_class_is_enough(labels, seed):
    """Where none can be held out there is no penalty to choose, and still a classifier."""
    labels = np.array(labels)
    features = clips(labels, 0.1, 1)
    found = linear.linear_probabilities(*features, labels, *features, len(set(labels)), seed)
    for name in set(labels.tolist()):
        assert found[labels == name, name].min() > found[labels != name, name].max()


@pytest.mark.parametrize("seed", range(9))
def test_two_videos_of_a_class_are_enough(seed):
    labels = np.array([0, 1, 0, 1, 1, 1])
    features = clips(labels, 0.1, 1)
    found = linear.linear_probabilities(*features, labels, *features, 2, seed)
    # However few are held out, both classes are learned.
    assert found.shape == (6, 2) and found[labels == 0, 0].mean() > found[labels == 1, 0].mean()


def test_the_span_of_the_clips_gives_the_same_classifier():
    """Of 90 clips of 300 values; all constants are standardised away, dead values stay out."""
    labels = np.arange(90) % 3
    train, _ = clips(labels, 2, 1, values=300, count=1)
    test, _ = clips(labels, 2, 2, values=300, count=1)
    train[:, 5] = test[:, 5] = 7
    said = []
    for most in (300, 90):
        seen = linear.coordinates_of(train, 0, most)
        assert seen(train).shape[1] == (300 if most == 300 else 89)  # their mean is taken off
        fitted = LogisticRegression(C=0.01, tol=1e-8).fit(seen(train), labels)
        said.append(fitted.predict_proba(seen(test)))
    np.testing.assert_allclose(*said, atol=1e-3)
    plain = (train - train.mean(axis=0)) / np.where(train.std(axis=0) < 1e-4, 1, train.std(axis=0))
    np.testing.assert_allclose(linear.coordinates_of(train, 0, 300)(train), plain, atol=1e-4)


def test_more_clips_than_span_still_tell(monkeypatch, tmp_path):
    """And from a file, piece by piece."""
    monkeypatch.setattr(linear, "_ROWS", 64)
    monkeypatch.setattr(linear, "LANDMARKS", 40)
    labels = np.arange(200) % 3
    train, rows = clips(labels, 0.5, 1, values=300)
    np.save(tmp_path / "train.npy", train)
    on_disk = np.load(tmp_path / "train.npy", mmap_mode="r")
    assert linear.coordinates_of(on_disk, 0, 40)(on_disk).shape == (1000, 40)
    test = clips(labels, 0.5, 2, values=300)
    assert accuracy((on_disk, rows), labels, test, labels) == 1
