"""Two measures without labels: does a clip find its own video, and has the embedding collapsed?"""

from __future__ import annotations

import numpy as np

_BLOCK = 1 << 24  # elements held at once


def recall_at_1(queries: np.ndarray, gallery: np.ndarray) -> float:
    """Measures how often query i has gallery row i as its nearest: Recall@1 (Song et al. 2016).

    R = 1/n sum_i [ q_i . g_i > max_{j != i} q_i . g_j ], over unit rows. Give two clips of each
    held-out video, one as the query, one in the gallery. 1: every video is told from all others;
    chance is 1/n, so the value falls with n and is comparable only at equal n.

    A tie is wrong, so a network that gives all videos the same embedding scores 0. So does a row
    that is not finite.

    Args:
        queries: float [n, D]; rows need not have unit norm.
        gallery: float [n, D].

    Returns:
        Share, 0 to 1; 0 for n = 0.
    """
    # In float64, since rounding must not decide between rows that are equal or nearly so.
    queries, gallery = _unit(queries), _unit(gallery)
    n = len(queries)
    step = max(1, _BLOCK // max(1, n))
    right = 0
    for start in range(0, n, step):
        similarities = queries[start : start + step] @ gallery.T
        row = np.arange(len(similarities))
        own = similarities[row, start + row]
        similarities[row, start + row] = -np.inf
        right += int((own > similarities.max(axis=1) + 1e-12).sum())
    return right / max(1, n)


def effective_dimension(rows: np.ndarray) -> float:
    """Counts the directions that embeddings use: participation ratio of their covariance.

    d = (sum_i l_i)^2 / sum_i l_i^2, with l the eigenvalues of the centred covariance C, that is
    trace(C)^2 / trace(C C) (Gao et al. 2017, "A theory of multineuronal dimensionality"). It is D
    if all directions vary alike, 1 if the rows lie on a line, 0 if they are all one point. It
    should grow in training; a fall towards 1 is a collapse. It does not depend on how widely rows
    spread, so a spread at the level of float32 rounding (variance below 1e-12 of the mean squared
    norm) counts as one point; rows that are not finite give NaN.

    Args:
        rows: float [N, D], one embedding per video.

    Returns:
        0 to min(D, N - 1); 0 for fewer than two rows.
    """
    rows = np.asarray(rows)
    if len(rows) < 2:
        return 0.0
    total = np.zeros(rows.shape[1])
    products = np.zeros((rows.shape[1],) * 2)
    step = max(1, _BLOCK // rows.shape[1])
    for start in range(0, len(rows), step):
        block = rows[start : start + step].astype(np.float64)
        total += block.sum(axis=0)
        products += block.T @ block
    mean = total / len(rows)
    covariance = products / len(rows) - np.outer(mean, mean)
    variance = np.trace(covariance)
    if variance <= 1e-12 * np.trace(products) / len(rows):
        return 0.0
    return float(variance**2 / (covariance**2).sum())


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
