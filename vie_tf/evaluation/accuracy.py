"""Accuracy of class scores, with its interval over videos."""

from __future__ import annotations

import numpy as np

DRAWS = 1000


def accuracies(scores: np.ndarray, labels: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Top-1 and top-5 accuracy of videos, and their 95 % intervals.

    Args:
        scores: float32 [N, C], such as probabilities.
        labels: int64 [N].
        seed: of the bootstrap.

    Returns:
        `top1`, `top1_low`, `top1_high`, and the same of `top5`, each in 0..1. A video counts as
        right where fewer than 1 or 5 classes are scored above or like its own; with C <= 5 top-5
        is 1.
    """
    # Of equal scores none is preferred: a network that gives the same to all is not right.
    own = scores[np.arange(len(labels)), labels]
    above = (scores >= own[:, None]).sum(axis=1) - 1
    found = {}
    for most in (1, 5):
        right = above < min(most, scores.shape[1])
        low, high = bootstrap(right, seed)
        name = f"top{most}"
        found |= {name: float(right.mean()), f"{name}_low": low, f"{name}_high": high}
    return found


def bootstrap(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of a mean over videos, float [N]: of as many drawn with replacement.

    It says nothing about the spread between training runs.
    """
    values = np.asarray(values, np.float64)
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(DRAWS)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
