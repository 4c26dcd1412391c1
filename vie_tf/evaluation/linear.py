"""Linear read-out: what a linear classifier finds in frozen features (paper section 4)."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# Inverse strengths of the L2 penalty to choose from, for features of unit variance.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)


def linear_accuracy(
    train: np.ndarray,
    train_labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
    seed: int = 0,
) -> float:
    """How often a softmax classifier of clips is right about videos.

    It is fitted to the training videos' clips, each for itself, with the penalty that is best on
    the middle clips of a fifth of the training videos that was kept apart. A test video's
    probabilities are the mean over its clips (paper's five-clip test).

    Args:
        train: float32 [N, G, C], features of G clips of each of N videos.
        train_labels: int64 [N].
        test: float32 [M, G, C].
        test_labels: int64 [M].
        seed: of the choice of the fifth.

    Returns:
        Share in 0..1 of the test videos.
    """
    kept = np.random.default_rng(seed).permutation(len(train)) < len(train) / 5
    middle = train[:, train.shape[1] // 2, None]
    chosen = max(
        STRENGTHS,
        key=lambda strength: _accuracy(
            strength, middle[~kept], train_labels[~kept], middle[kept], train_labels[kept]
        ),
    )
    return _accuracy(chosen, train, train_labels, test, test_labels)


def _accuracy(
    strength: float,
    train: np.ndarray,
    train_labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
) -> float:
    """As `linear_accuracy`, with a penalty of a given inverse strength."""
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(C=strength, tol=1e-3, max_iter=2000)
    )
    classifier.fit(np.concatenate(train), np.repeat(train_labels, train.shape[1]))
    scores = classifier.predict_proba(np.concatenate(test)).reshape(*test.shape[:2], -1)
    return float((classifier.classes_[scores.mean(axis=1).argmax(axis=1)] == test_labels).mean())
