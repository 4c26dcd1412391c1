"""The memory bank: a running mean of every video's embedding (paper section 3, eq. 1)."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras


def running_mean(
    rows: tf.Tensor, index: tf.Tensor, embeddings: tf.Tensor, momentum: float
) -> tf.Tensor:
    """New rows of the bank: normalise(momentum * row + (1 - momentum) * embedding), eq. 1.

    A video that is twice in the batch gets the mean of its embeddings, so that the result does
    not depend on which of them is written last.

    Args:
        rows: float32 [B, D], the bank's rows of the batch's videos.
        index: int64 [B], the batch's videos.
        embeddings: float32 [B, D], of unit norm.
        momentum: share of the old row, in 0..1.

    Returns:
        float32 [B, D] of unit norm.
    """
    same = tf.cast(index[:, None] == index[None, :], embeddings.dtype)
    mean = tf.linalg.matmul(same, embeddings) / tf.reduce_sum(same, axis=1, keepdims=True)
    return tf.math.l2_normalize(momentum * rows + (1 - momentum) * mean, axis=1)


class MemoryBank(keras.layers.Layer):
    """One row, one label and one visited mark for each of N videos.

    Under a `tf.distribute` strategy every replica holds a copy, and `update` writes the rows of
    all replicas into every copy, so the copies stay equal.

    Attributes:
        rows: float32 or bfloat16 [N, D], unit norm (`legacy`: only in expectation, as in the
            authors' code).
        labels: int64 [N], the label of a row's video, -1 (`legacy`: 0) until it is visited.
        visited: bool [N].
    """

    def __init__(
        self,
        size: int,
        dimension: int = 128,
        momentum: float = 0.5,
        seed: int = 0,
        legacy: bool = False,
        precision: str = "float32",
    ):
        super().__init__(name="memory_bank", dtype="float32", trainable=False)
        self.size, self.momentum, self.legacy = size, momentum, legacy
        bound = (3.0 / dimension) ** 0.5

        def initial_rows(shape, dtype):
            rows = tf.random.stateless_uniform(shape, [seed, 0], -bound, bound)
            return tf.cast(rows if legacy else tf.math.l2_normalize(rows, axis=1), dtype)

        self.rows = self.add_weight("rows", (size, dimension), precision, initial_rows)
        unknown = keras.initializers.Constant(0 if legacy else -1)
        self.labels = self.add_weight("labels", (size,), tf.int64, unknown)
        self.visited = self.add_weight("visited", (size,), tf.bool, tf.zeros)

    def gather(self, index: tf.Tensor) -> tf.Tensor:
        """Rows of given numbers, float32 [..., D]."""
        return tf.cast(tf.gather(self.rows, index), tf.float32)

    def update(self, index: tf.Tensor, embeddings: tf.Tensor, labels: tf.Tensor) -> None:
        """Mixes the batch into the bank; call it in the replica context, after the loss.

        Args:
            index: int64 [B], the replica's videos.
            embeddings: float32 [B, D].
            labels: int64 [B], -1 where unknown.
        """
        replica = tf.distribute.get_replica_context()
        if replica.num_replicas_in_sync > 1:
            # Every copy gets every replica's rows: writing only one's own makes the copies differ.
            index, embeddings, labels = (
                replica.all_gather(x, axis=0) for x in (index, embeddings, labels)
            )
        rows = running_mean(self.gather(index), index, embeddings, self.momentum)
        self.rows.scatter_update(tf.IndexedSlices(tf.cast(rows, self.rows.dtype), index))
        self.labels.scatter_update(tf.IndexedSlices(labels, index))
        self.visited.scatter_update(tf.IndexedSlices(tf.ones_like(index, tf.bool), index))
