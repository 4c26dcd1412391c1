"""Nearest-neighbour search, and the accuracy of labels taken from neighbours.

The weighted k-NN classifier is that of Wu et al. 2018, section 3.4, with five clips per video.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from vie_tf.errors import InputError

# Similarities held at once, in elements (128 MB): the search never holds all q x n of them.
_BLOCK = 1 << 25
TEMPERATURE = 0.07  # of the votes (Wu et al.)


def nearest(
    queries: np.ndarray, gallery: np.ndarray, k: int, exclude: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Finds, for each query, the k gallery rows of largest dot product, exactly.

    Rows of equal similarity come in the order of their index.

    Args:
        queries: float32 [q, D]; unit rows make the dot product the cosine.
        gallery: float32 [n, D].
        k: number of neighbours, at least 1.
        exclude: int64 [q], the gallery row that a query must not find (itself), -1 for none.

    Returns:
        indices int64 [q, k] and similarities float32 [q, k], nearest first.

    Raises:
        InputError: there are fewer rows than k, or an embedding is not finite.
    """
    queries = np.asarray(queries, np.float32)
    gallery = np.asarray(gallery, np.float32)
    exclude = np.full(len(queries), -1) if exclude is None else np.asarray(exclude)
    usable = len(gallery) - int((exclude >= 0).any())
    if not 1 <= k <= usable:
        raise InputError(
            f"search: cannot find {k} neighbours among {usable} videos; "
            "ask for fewer (at least 1) or add videos"
        )
    check_finite(queries, gallery)
    gallery = tf.constant(gallery)
    step = max(1, _BLOCK // len(gallery))
    indices = np.empty((len(queries), k), np.int64)
    similarities = np.empty((len(queries), k), np.float32)
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        scores = tf.matmul(queries[block], gallery, transpose_b=True)
        own = np.flatnonzero(exclude[block] >= 0)
        if own.size:
            places = np.stack([own, exclude[block][own]], axis=1)
            scores = tf.tensor_scatter_nd_update(scores, places, np.full(own.size, -np.inf))
        # top_k gives equal values in the order of their index.
        values, rows = tf.math.top_k(scores, k)
        indices[block], similarities[block] = rows.numpy(), values.numpy()
    return indices, similarities


def knn_scores(
    queries: Sequence[np.ndarray],
    bank: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    k: int = 10,
    temperature: float = TEMPERATURE,
    visited: np.ndarray | None = None,
) -> np.ndarray:
    """Scores the classes of videos from their clips' nearest bank rows.

    For clip g of a video, with N_k(g) the k rows of largest similarity,
    score(c) = mean_g 1/k sum_{i in N_k(g), label_i = c} exp(M_i . e_g / temperature).
    As in the original, the weights are not normalised per clip: clips with near neighbours count
    for more.

    Args:
        queries: float32 [n, G, D], unit rows: G clips of each of n videos; or n arrays [G, D], each
            with its own G.
        bank: float32 [N, D], unit rows.
        labels: int64 [N], class of each row, -1 where unknown; such rows are ignored.
        num_classes: C; labels are below it.
        k: number of neighbours.
        temperature: at least 0.02, where exp(1 / temperature) nears the limit of float32.
        visited: bool [N]; rows that training has not written yet (False) are ignored.

    Returns:
        float32 [n, C], at least 0.

    Raises:
        InputError: there are fewer usable rows than k, or temperature or label is out of range.
    """
    if not temperature >= 0.02:
        raise InputError(f"k-NN: temperature {temperature} is out of range; use 0.02 or more")
    labels = np.asarray(labels)
    if labels.max(initial=-1) >= num_classes:
        raise InputError(
            f"k-NN: label {labels.max()} of the bank is not below the {num_classes} classes; "
            "give the number of classes of the labelled data set"
        )
    usable = labels >= 0
    if visited is not None:
        usable &= np.asarray(visited, bool)
    check_neighbours(k, usable)
    videos, clips = len(queries), [len(of_video) for of_video in queries]
    rows, similarities = nearest(np.concatenate(queries), np.asarray(bank)[usable], k)
    # Class c of video v is place v C + c: a single bincount sums over clips and neighbours.
    video = np.repeat(np.arange(videos), clips)
    votes = np.exp(similarities.astype(np.float64) / temperature)
    votes /= (k * np.repeat(clips, clips))[:, None]
    places = video[:, None] * num_classes + labels[usable][rows]
    scores = np.bincount(places.ravel(), votes.ravel(), videos * num_classes)
    return scores.reshape(videos, num_classes).astype(np.float32)


def check_neighbours(k: int, usable: np.ndarray) -> None:
    """Raises InputError if fewer than k of the training videos are usable (bool [N])."""
    if k > usable.sum():
        raise InputError(
            f"k-NN: k is {k}, but only {usable.sum()} of {len(usable)} training videos have a "
            "label and an embedding; use a smaller k or label more videos"
        )


def check_finite(*embeddings: np.ndarray) -> None:
    """Raises InputError if an embedding is not finite."""
    if not all(np.isfinite(rows).all() for rows in embeddings):
        raise InputError(
            "search: an embedding is not a finite number, so the network has diverged; "
            "train again with a lower learning rate"
        )


def knn_accuracy(
    queries: Sequence[np.ndarray],
    query_labels: np.ndarray,
    bank: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    k: int = 10,
    temperature: float = TEMPERATURE,
    visited: np.ndarray | None = None,
) -> dict[str, float | int]:
    """Measures how often the class with the highest score is the video's own.

    Args:
        queries: as in `knn_scores`.
        query_labels: int64 [n], -1 where unknown; such videos are not counted.
        bank: as in `knn_scores`.
        labels: as in `knn_scores`.
        num_classes: as in `knn_scores`.
        k: as in `knn_scores`.
        temperature: as in `knn_scores`.
        visited: as in `knn_scores`.

    Returns:
        `top1` and `top5` (0 to 1), the 95 % interval of each (`wilson_interval`) as `top1_low`,
        `top1_high`, `top5_low` and `top5_high`, the number of `videos` counted, and `k`.

    Raises:
        InputError: as for `knn_scores`, or no query has a label.
    """
    query_labels = np.asarray(query_labels)
    known = query_labels >= 0
    if not known.any():
        raise InputError("k-NN: no test video has a label; give labels, or see recall at 1")
    scores = knn_scores(
        [queries[i] for i in np.flatnonzero(known)],
        bank,
        labels,
        num_classes,
        k,
        temperature,
        visited,
    )
    truth = query_labels[known]
    correct = int((scores.argmax(axis=1) == truth).sum())
    best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    voted = np.take_along_axis(scores, best, 1) > 0  # a class without votes does not count
    among = int(((best == truth[:, None]) & voted).any(axis=1).sum())
    videos = int(known.sum())
    found: dict[str, float | int] = {"top1": correct / videos, "top5": among / videos}
    for name, right in (("top1", correct), ("top5", among)):
        found[f"{name}_low"], found[f"{name}_high"] = wilson_interval(right, videos)
    return found | {"videos": videos, "k": k}


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """Computes the 95 % interval of a share `correct / n` (Wilson 1927, score interval).

    Unlike p +- 2 sd, it stays within 0..1 and has nonzero width at 0 and n correct. It holds for
    independent videos, and says nothing about the spread between training runs.

    Returns:
        Lower and upper end; (0, 1) for n = 0.
    """
    if n == 0:
        return 0.0, 1.0
    z = 1.959964
    share = correct / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
