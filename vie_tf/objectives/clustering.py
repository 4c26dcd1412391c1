"""k-means over the memory bank: clusters are Local Aggregation's close neighbours (section 3)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from vie_tf import device
from vie_tf.keras2 import keras
from vie_tf.objectives.replicas import local

_BLOCK = 1 << 22  # similarities of points to centres held at once (16 MB)
_GPU_BLOCK = 1 << 28  # the same on a GPU (1 GB)


@dataclass(frozen=True)
class Clustering:
    """The outcome of `k_means`.

    Attributes:
        labels: int64 [N], the nearest centre of each point.
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
    parts: list[tf.Tensor],
    k: int,
    seed: int,
    iterations: int = 20,
) -> Clustering:
    """Runs Lloyd's k-means from k random points as centres (Euclidean, as in the paper's runs).

    A cluster that loses all its points gets the point that is farthest from its own centre. The
    iteration stops once no point changes its cluster. The result depends only on points and seed.

    Args:
        parts: float32 [n, D] each, together the N points; each is processed on its device.
        k: number of clusters, 1 to N.
        seed: of the choice of the first centres.
        iterations: the most to run; the paper's 20.
    """
    ends = np.cumsum([len(part) for part in parts])

    def points(numbers: np.ndarray) -> np.ndarray:
        place = np.searchsorted(ends, numbers, side="right")
        chosen = np.empty((len(numbers), parts[0].shape[1]), np.float32)
        for i, part in enumerate(parts):
            own = numbers[place == i] - (ends[i] - len(part))
            chosen[place == i] = tf.gather(part, own)
        return chosen

    def work(part: tf.Tensor) -> list[np.ndarray]:
        with tf.device(part.device):
            return [found.numpy() for found in _assigned(part, centres)]

    centres = points(np.random.default_rng(seed).choice(ends[-1], k, replace=False))
    labels, objective, reseeded = None, [], 0
    with ThreadPoolExecutor(len(parts)) as pool:
        for iteration in range(iterations + 1):
            before = labels
            found = list(zip(*pool.map(work, parts)))
            labels, distances = (np.concatenate(part) for part in found[:2])
            sums, sizes = (sum(part) for part in found[2:])
            objective.append(float(distances.sum(dtype=np.float64)))
            if iteration == iterations or before is not None and (labels == before).all():
                break
            centres = sums / np.maximum(sizes, 1)[:, None]
            if len(empty := np.flatnonzero(sizes == 0)):
                farthest = np.argsort(-distances, kind="stable")[: len(empty)]
                centres[empty] = points(farthest)
                reseeded += len(empty)
    return Clustering(labels, centres, objective, reseeded)


def _assigned(
    points: tf.Tensor, centres: np.ndarray
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns each point's nearest centre and squared distance; each centre's sum and count."""
    k, centres = len(centres), tf.constant(centres, tf.float32)
    labels, distances = (_nearest_gpu if device.on_gpu() else _nearest)(points, centres)
    sums = tf.math.unsorted_segment_sum(points, labels, k)
    return labels, distances, sums, tf.math.unsorted_segment_sum(tf.ones_like(distances), labels, k)


@tf.function(reduce_retracing=True)
def _nearest(points: tf.Tensor, centres: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns each point's nearest centre, int64, and the squared distance to it, float32.

    On a CPU, blocks are processed in parallel, and top_k of one value is faster than argmax.
    """
    count, k = tf.shape(points)[0], tf.shape(centres)[0]
    size = tf.clip_by_value(_BLOCK // k, 256, 1 << 16)
    blocks = (count + size - 1) // size
    transposed, half = tf.transpose(centres), _half_square(centres)
    labels = tf.TensorArray(tf.int32, blocks, element_shape=[None], infer_shape=False)
    distances = tf.TensorArray(tf.float32, blocks, element_shape=[None], infer_shape=False)
    for block in tf.range(blocks):
        part = points[block * size : (block + 1) * size]
        value, label = tf.math.top_k(tf.nn.bias_add(tf.matmul(part, transposed), half), 1)
        labels = labels.write(block, label[:, 0])
        distances = distances.write(block, _distance(part, value[:, 0]))
    return tf.cast(labels.concat(), tf.int64), distances.concat()


def _nearest_gpu(points: tf.Tensor, centres: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`_nearest` on a GPU: in blocks of one size, so that they are compiled once."""
    count, size = len(points), max(1, _GPU_BLOCK // len(centres))
    found = []
    for end in range(size, count + size, size):
        begin, seen = max(0, min(end, count) - size), end - size  # the last one overlaps
        block = _nearest_of_block(points[begin : begin + size], centres)
        found.append([part[seen - begin :] for part in block])
    labels, distances = (tf.concat(parts, axis=0) for parts in zip(*found))
    return labels, distances


@tf.function(jit_compile=True)
def _nearest_of_block(points: tf.Tensor, centres: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`_nearest` of a block; compiled, the maximum and its index take one pass."""
    products = tf.matmul(points, centres, transpose_b=True) + _half_square(centres)
    return tf.argmax(products, axis=1), _distance(points, tf.reduce_max(products, axis=1))


def _half_square(centres: tf.Tensor) -> tf.Tensor:
    return -0.5 * tf.reduce_sum(tf.square(centres), axis=1)


def _distance(points: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """|x - c|^2 = |x|^2 - 2 (x.c - |c|^2 / 2), from the value in brackets."""
    return tf.maximum(tf.reduce_sum(tf.square(points), axis=1) - 2 * value, 0.0)


@keras.utils.register_keras_serializable("vie_tf")
class Clusters(keras.layers.Layer):
    """The cluster of each of N videos, in each of H clusterings.

    Attributes:
        labels: int64 [N, H], -1 for a video that has not been clustered. Not int32, as GPUs have
            no kernel that reads some rows of such a variable.
        next_labels: the same for a clustering that is not in use yet.
    """

    def __init__(self, size: int, clusterings: int = 1):
        super().__init__(name="clusters", dtype="float32", trainable=False)
        self.size, self.clusterings = size, clusterings
        shape, none = (size, clusterings), keras.initializers.Constant(-1)
        self.labels = self.add_weight("labels", shape, tf.int64, none)
        self.next_labels = self.add_weight("next_labels", shape, tf.int64, none)
        self.built = True

    def get_config(self) -> dict:
        return {"size": self.size, "clusterings": self.clusterings}

    def close(self, index: tf.Tensor, neighbours: tf.Tensor) -> tf.Tensor:
        """Returns which neighbours share a cluster with their item in any of the clusterings.

        Args:
            index: int64 [B], the items.
            neighbours: int64 [B, K].

        Returns:
            bool [B, K].
        """
        labels = local(self.labels)
        own = tf.gather(labels, index)[:, None]
        return tf.reduce_any((tf.gather(labels, neighbours) == own) & (own >= 0), axis=2)
