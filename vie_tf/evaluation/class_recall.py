"""Retrieval as the field reports it for UCF101 and HMDB51: is a video of the same class found?

The videos of the test split are the queries, those of the training split the gallery, each with one
embedding.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from vie_tf.evaluation.knn import check_finite, wilson_interval

_BLOCK = 1 << 25  # similarities held at once (128 MB)
AT = (1, 5, 10, 20)


def class_recall(
    queries: np.ndarray, labels: np.ndarray, gallery: np.ndarray, gallery_labels: np.ndarray
) -> dict[str, float | int]:
    """Computes recall at k and mean average precision of classes.

    A query is a hit at k if one of the k nearest rows has its class. Its average precision is the
    mean, over the rows of its class, of the share of that class among all rows at least as near as
    that row. Among equally near rows, those of other classes count as nearer, so a network that
    gives all videos the same embedding has no hits.

    Args:
        queries: float32 [n, D], unit rows.
        labels: int64 [n], -1 where unknown; such queries are not counted. A query whose class is
            not in the gallery counts as missed.
        gallery: float32 [N, D], unit rows.
        gallery_labels: int64 [N], -1 where unknown; such rows are ignored.

    Returns:
        `class_recall_at_1`, `_5`, `_10`, `_20` and `map`, 0 to 1; the 95 % interval of the first,
        `class_recall_at_1_low` and `_high`; the number of query `videos`.

    Raises:
        InputError: an embedding is not finite.
    """
    labels, gallery_labels = np.asarray(labels), np.asarray(gallery_labels)
    queries, labels = np.asarray(queries, np.float32)[labels >= 0], labels[labels >= 0]
    known = gallery_labels >= 0
    gallery, gallery_labels = np.asarray(gallery, np.float32)[known], gallery_labels[known]
    check_finite(queries, gallery)
    members = {label: np.flatnonzero(gallery_labels == label) for label in np.unique(labels)}
    wrong = np.full(len(queries), len(gallery))  # rows of other classes before the first right one
    precision = np.zeros(len(queries))
    columns = tf.constant(gallery)
    step = max(1, _BLOCK // max(1, len(gallery)))
    for start in range(0, len(queries), step):
        scores = tf.matmul(queries[start : start + step], columns, transpose_b=True).numpy()
        for i, row in enumerate(scores, start):
            right = np.sort(row[members[labels[i]]])
            if not len(right):
                continue
            row.sort()
            as_near = len(row) - np.searchsorted(row, right)
            right_as_near = len(right) - np.searchsorted(right, right)
            wrong[i] = as_near[-1] - right_as_near[-1]
            precision[i] = (right_as_near / as_near).mean()
    hits = {k: int((wrong < k).sum()) for k in AT}
    found = {f"class_recall_at_{k}": hits[k] / len(queries) for k in AT}
    low, high = wilson_interval(hits[1], len(queries))
    return {
        **found,
        "class_recall_at_1_low": low,
        "class_recall_at_1_high": high,
        "map": float(precision.mean()),
        "videos": len(queries),
    }
