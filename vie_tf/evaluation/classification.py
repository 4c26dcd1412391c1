"""How often a classifier of videos is right."""

from __future__ import annotations

import numpy as np


def interval(correct: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a share by bootstrap over videos (percentiles).

    Of n videos drawn anew with replacement, a binomial number is right, so none need be drawn. It
    says nothing about the spread between training runs.

    Args:
        correct: bool [n], of each video.

    Returns:
        Lower and upper end; (0, 1) for n = 0.
    """
    from scipy.stats import binom  # slow to import, and few modes need it

    correct = np.asarray(correct, bool)
    if not len(correct):
        return 0.0, 1.0
    low, high = binom.ppf([0.025, 0.975], len(correct), correct.mean()) / len(correct)
    return float(low), float(high)


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float | int]:
    """Accuracy of the most probable class, and of the five most probable.

    Equal probabilities are ranked against the classifier: one that does not tell is not right.

    Args:
        probabilities: float [n, C], of videos: means over their clips.
        labels: int64 [n], below C.

    Returns:
        `top1` and `top5` (0 to 1), the `interval` of each as `top1_low`, `top1_high`, `top5_low`
        and `top5_high`, and the number of `videos`.
    """
    own = np.take_along_axis(probabilities, np.asarray(labels)[:, None], axis=1)
    rank = (~(probabilities < own)).sum(axis=1) - 1  # what is not a number is never right
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
