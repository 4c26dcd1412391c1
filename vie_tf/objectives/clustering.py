"""k-means over the memory bank: clusters are Local Aggregation's close neighbours (section 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from tensorflow import keras

_BLOCK = 1 << 22  # similarities of points to centres held at once (16 MB)


@dataclass(frozen=True)
class Clustering:
    """The outcome of `k_means`.

    Attributes:
        labels: int32 [N], the nearest centre of each point.
        centres: float32 [k, D].
        objective: sum of squared distances to the nearest centre, before each iteration and at
            the end.
        reseeded: how many empty clusters got a new centre, over all iterations.
    """

    labels: np.ndarray
    centres: np.ndarray
    objective: list[float]
    reseeded: int


def k_means(
    points: tf.Tensor,
    k: int,
    seed: int,
    iterations: int = 20,
    progress: Callable[[int], None] = lambda iteration: None,
) -> Clustering:
    """Lloyd's k-means on all points, from k of them as centres (Euclidean, as in the paper's runs).

    A cluster that has lost all its points gets the point that is farthest from its own centre.
    Nothing more changes once no point changes its cluster, so it ends there. The result is a
    function of points and seed.

    Args:
        points: float32 [N, D].
        k: number of clusters, 1 to N.
        seed: of the choice of the first centres.
        iterations: at most; the paper's 20.
        progress: is called with the number of each iteration, from 1.
    """
    first = np.random.default_rng(seed).choice(len(points), k, replace=False)
    centres = tf.gather(points, first)
    labels, objective, reseeded = tf.fill([len(points)], -1), [], 0
    squares = tf.reduce_sum(tf.square(points), axis=1)
    for iteration in range(iterations + 1):
        before = labels
        labels, distances = _assign(points, squares, centres)
        objective.append(float(tf.reduce_sum(distances)))
        if iteration == iterations or not tf.reduce_any(labels != before):
            break
        progress(iteration + 1)
        centres, empty = _means(points, labels, distances, k)
        reseeded += int(empty)
    return Clustering(labels.numpy(), centres.numpy(), objective, reseeded)


@tf.function(reduce_retracing=True)
def _assign(
    points: tf.Tensor, squares: tf.Tensor, centres: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The nearest centre of each point, and its squared distance."""
    count, k = tf.shape(points)[0], tf.shape(centres)[0]
    size = tf.clip_by_value(_BLOCK // k, 256, 1 << 16)
    blocks = (count + size - 1) // size
    transposed = tf.transpose(centres)
    half = -0.5 * tf.reduce_sum(tf.square(centres), axis=1)
    labels = tf.TensorArray(tf.int32, blocks, element_shape=[None], infer_shape=False)
    nearest = tf.TensorArray(tf.float32, blocks, element_shape=[None], infer_shape=False)
    for block in tf.range(blocks):
        part = points[block * size : (block + 1) * size]
        # |x - c|^2 = |x|^2 - 2 (x.c - |c|^2 / 2).
        value, label = tf.math.top_k(tf.nn.bias_add(tf.matmul(part, transposed), half), 1)
        labels = labels.write(block, label[:, 0])
        nearest = nearest.write(block, value[:, 0])
    return labels.concat(), tf.maximum(squares - 2 * nearest.concat(), 0.0)


@tf.function(reduce_retracing=True)
def _means(
    points: tf.Tensor, labels: tf.Tensor, distances: tf.Tensor, k: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """New centres, and how many clusters were empty."""
    sizes = tf.math.unsorted_segment_sum(tf.ones_like(distances), labels, k)
    centres = tf.math.divide_no_nan(tf.math.unsorted_segment_sum(points, labels, k), sizes[:, None])
    empty = tf.where(sizes == 0)
    farthest = tf.math.top_k(distances, tf.shape(empty)[0]).indices
    return tf.tensor_scatter_nd_update(centres, empty, tf.gather(points, farthest)), tf.shape(
        empty
    )[0]


class Clusters(keras.layers.Layer):
    """In which cluster each of N videos is, in each of H clusterings.

    Attributes:
        labels: int32 [N, H], -1 for a video that was in no clustering yet.
        next_labels: the same, of a clustering that is not in use yet.
    """

    def __init__(self, size: int, clusterings: int = 1):
        super().__init__(name="clusters", dtype="float32", trainable=False)
        shape, none = (size, clusterings), keras.initializers.Constant(-1)
        self.labels = self.add_weight("labels", shape, tf.int32, none)
        self.next_labels = self.add_weight("next_labels", shape, tf.int32, none)

    def close(self, index: tf.Tensor, neighbours: tf.Tensor) -> tf.Tensor:
        """Which neighbours share a cluster with their item in any of the clusterings.

        Args:
            index: int64 [B], the items.
            neighbours: int64 [B, K].

        Returns:
            bool [B, K].
        """
        own = tf.gather(self.labels, index)[:, None]
        return tf.reduce_any((tf.gather(self.labels, neighbours) == own) & (own >= 0), axis=2)
