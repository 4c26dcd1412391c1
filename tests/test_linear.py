"""The linear read-out."""

import numpy as np

from vie_tf.evaluation.linear import linear_accuracy


def videos(labels, spread, seed):
    """Features of five clips a video around its class' place."""
    rng = np.random.default_rng(seed)
    places = np.random.default_rng(0).normal(size=(3, 16))
    return (places[labels][:, None] + spread * rng.normal(size=(len(labels), 5, 16))).astype("f4")


def test_accuracy_of_what_is_there_and_of_what_is_not():
    labels = np.arange(120) % 3
    train, test = labels[:90], labels[90:]
    assert linear_accuracy(videos(train, 0.3, 1), train, videos(test, 0.3, 2), test) == 1
    nothing = np.random.default_rng(3).permutation(test)
    assert linear_accuracy(videos(train, 0.3, 1), train, videos(nothing, 0.3, 2), test) < 0.7


def test_clips_of_a_video_are_asked_together():
    """What one clip seldom tells, five tell more often."""
    labels = np.arange(600) % 3
    train, test = labels[:300], labels[300:]
    features, asked = videos(train, 4, 1), videos(test, 4, 2)
    five = linear_accuracy(features, train, asked, test)
    one = linear_accuracy(features, train, asked[:, :1], test)
    assert five > one + 0.1


def test_classes_need_not_be_numbered_without_gaps():
    labels = np.array([2, 7] * 20)
    features = videos(labels // 5, 0.1, 1)
    assert linear_accuracy(features, labels, features, labels) == 1
