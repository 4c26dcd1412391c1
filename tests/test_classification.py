"""Accuracy and its interval."""

import numpy as np

from vie_tf.evaluation.classification import accuracy, interval


def test_the_interval_is_that_of_a_bootstrap():
    correct = np.arange(40) < 31
    rng = np.random.default_rng(0)
    shares = correct[rng.integers(40, size=(200_000, 40))].mean(axis=1)
    np.testing.assert_allclose(interval(correct), np.percentile(shares, [2.5, 97.5]), atol=1e-9)
    assert interval(np.ones(5, bool)) == (1, 1) and interval(np.zeros(0)) == (0, 1)


def test_accuracy_of_the_first_and_of_five():
    probabilities = np.eye(7)[[0, 1, 2, 3]] + 0.1 * np.arange(7)
    found = accuracy(probabilities, np.array([0, 1, 6, 0]))
    assert (found["top1"], found["top5"], found["videos"]) == (0.5, 0.75, 4)
    for top, right in (("top1", [1, 1, 0, 0]), ("top5", [1, 1, 1, 0])):
        assert (found[f"{top}_low"], found[f"{top}_high"]) == interval(right)
    assert accuracy(np.full((3, 4), 0.25), np.arange(3))["top1"] == 0
    assert accuracy(np.full((3, 7), np.nan), np.arange(3))["top5"] == 0
