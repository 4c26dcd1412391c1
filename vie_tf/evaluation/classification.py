"""Accuracy of a video classifier."""

from __future__ import annotations

import numpy as np


def interval(correct: np.ndarray) -> tuple[float, float]:
    """Computes the 95 % interval of a share by bootstrap over videos (percentiles).

    When n videos are resampled with replacement, the number right is binomial, so none need be
    drawn. The interval says nothing about the spread between training runs.

    Args:
        correct: bool [n], whether each video is right.

    Returns:
        Lower and upper end; (0, 1) for n = 0.
    """
    from scipy.stats import binom  # slow to import, and few modes need it

    correct = np.asarray(correct, bool)
    if not len(correct):
        return 0.0, 1.0
    share = float(correct.mean())
    if share in (0.0, 1.0):  # all resamples are alike; SciPy 1.9 takes 0 for the lower end of 1
        return share, share
    low, high = binom.ppf([0.025, 0.975], len(correct), share) / len(correct)
    return float(low), float(high)


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float | int]:
    """Computes the accuracy of the most probable class, and of the five most probable.

    Ties count against the classifier: one that does not distinguish classes is not right.

    Args:
        probabilities: float [n, C], of videos: means over their clips (`embed.clip_means`).
        labels: int64 [n], below C.

    Returns:
        `top1` and `top5` (0 to 1), the `interval` of each as `top1_low`, `top1_high`, `top5_low`
        and `top5_high`, and the number of `videos`.
    """
    own = np.take_along_axis(probabilities, np.asarray(labels)[:, None], axis=1)
    rank = (~(probabilities < own)).sum(axis=1) - 1  # a NaN is never right
    (low, high), (low5, high5) = interval(rank == 0), interval(rank < 5)
    return {
        "top1": float((rank == 0).mean()),
        "top5": float((rank < 5).mean()),
        "top1_low": low,
        "top1_high": high,
        "top5_low": low5,
        "top5_high": high5,
        "videos": len(rank),
    }
