"""The memory bank: a running mean of every video's embedding (paper section 3, eq. 1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from vie_tf.keras2 import keras
from vie_tf.objectives.neighbours import nearest_rows
from vie_tf.objectives.replicas import gathered, items, local, own_part


def running_mean(
    rows: tf.Tensor,
    index: tf.Tensor,
    embeddings: tf.Tensor,
    momentum: float,
    taken: tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns new rows: normalise(momentum * row + (1 - momentum) * embedding), eq. 1.

    A video that is twice in the batch gets the mean of its embeddings, so that the result does
    not depend on which of them is written last.

    Args:
        rows: float32 [B, D], the bank's rows of the batch's videos.
        index: int64 [B], the rows' numbers.
        embeddings: float32 [B, D], of unit norm.
        momentum: weight of the old row, in 0..1.
        taken: bool [B], which embeddings count; a row without one stays as it is. Default: all.

    Returns:
        float32 [B, D] of unit norm.
    """
    same = index[:, None] == index[None, :]
    if taken is not None:
        same &= taken[None, :]
    same = tf.cast(same, embeddings.dtype)
    count = tf.reduce_sum(same, axis=1, keepdims=True)
    mean = tf.math.divide_no_nan(tf.linalg.matmul(same, embeddings), count)
    new = tf.math.l2_normalize(momentum * rows + (1 - momentum) * mean, axis=1)
    return new if taken is None else tf.where(count > 0, new, rows)


def joined(parts: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Joins the rows of a bank's shards.

    Args:
        parts: R arrays [ceil(N / R), D]; part r has the rows r, r + R, r + 2 R, ...
        size: N.

    Returns:
        float32 [N, D].
    """
    rows = np.empty((size, parts[0].shape[1]), np.float32)
    for shard, part in enumerate(parts):
        own = rows[shard :: len(parts)]
        own[:] = part[: len(own)]
    return rows


@keras.utils.register_keras_serializable("vie_tf")
class MemoryBank(keras.layers.Layer):
    """Holds one row, one label and one visited flag for each of N videos.

    Under a `tf.distribute` strategy every replica holds a copy, and `update` writes the rows of
    all replicas into every copy, so the copies stay equal. When sharded, for banks beyond one
    device's memory, replica r of R holds only the rows of videos r, r + R, r + 2 R, ...; what a
    step needs from the other rows is computed where they are.

    Attributes:
        rows: float32 or bfloat16 [N, D], unit norm (`legacy`: only in expectation, as in the
            authors' code); sharded, a replica's own [ceil(N / R), D].
        labels: float64 [N], the label of a row's video, -1 (`legacy`: 0) until it is visited.
        visited: float32 [N], 1 or 0. Both are float, since TensorFlow copies a variable of another
            type from the GPU to the host and back to write some of its elements.
    """

    def __init__(
        self,
        size: int,
        dimension: int = 128,
        momentum: float = 0.5,
        seed: int = 0,
        legacy: bool = False,
        precision: str = "float32",
        sharded: bool = False,
    ):
        super().__init__(name="memory_bank", dtype="float32", trainable=False)
        self.size, self.dimension, self.momentum, self.seed = size, dimension, momentum, seed
        self.legacy, self.precision, self.sharded = legacy, precision, sharded
        strategy = tf.distribute.get_strategy()
        self.shards = strategy.num_replicas_in_sync if sharded else 1
        bound = (3.0 / dimension) ** 0.5

        def initial_rows(shape, dtype):
            rows = tf.random.stateless_uniform(shape, [seed, 0], -bound, bound)
            return tf.cast(rows if legacy else tf.math.l2_normalize(rows, axis=1), dtype)

        if self.shards == 1:
            self.rows = self.add_weight("rows", (size, dimension), precision, initial_rows)
        else:
            # A mirrored variable whose copies differ: it must not be saved or restored as a whole.
            with tf.device("CPU"):
                rows = initial_rows((size, dimension), precision)
            each = -(-size // self.shards)
            whole = tf.Variable(tf.zeros((each, dimension), precision), trainable=False)
            self.parts = list(strategy.experimental_local_results(whole))
            self._assign(rows)
            self._whole = lambda: whole
        unknown = keras.initializers.Constant(0 if legacy else -1)
        self.labels = self.add_weight("labels", (size,), tf.float64, unknown)
        self.visited = self.add_weight("visited", (size,), tf.float32, tf.zeros)
        self.built = True

    def _assign(self, rows: tf.Tensor) -> None:
        """Sets all rows, [N, D]."""
        if self.shards == 1:
            self.rows.assign(rows)
            return
        for replica, part in enumerate(self.parts):
            own = rows[replica :: self.shards]
            part.assign(tf.pad(own, [[0, part.shape[0] - len(own)], [0, 0]]))

    def all_similarities(self, embeddings: tf.Tensor) -> tf.Tensor:
        """Returns inner products with all rows of an unsharded bank, float32 [B, N].

        Args:
            embeddings: float32 [B, D]; gradients flow to them.
        """
        rows = tf.cast(self.rows, embeddings.dtype)
        return tf.matmul(embeddings, rows, transpose_b=True)

    def similarities(self, embeddings: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """Returns inner products with the rows `numbers`; call it in the replica context.

        Args:
            embeddings: float32 [B, D]; gradients flow to them.
            numbers: int [B, K].

        Returns:
            float32 [B, K].
        """
        if self.shards == 1:
            rows = tf.cast(tf.gather(local(self.rows), numbers), tf.float32)
            return tf.einsum("bd,bkd->bk", embeddings, rows)
        replica = tf.distribute.get_replica_context()
        batch, count = items(embeddings), numbers.shape[1]
        embeddings, numbers = gathered(embeddings), gathered(numbers)
        own, place = self._own(numbers)
        rows = tf.cast(tf.gather(local(self._whole()), place), tf.float32)
        found = tf.where(own, tf.einsum("bd,bkd->bk", embeddings, rows), 0.0)
        found = self._of_replica(replica.all_reduce(tf.distribute.ReduceOp.SUM, found), batch)
        return tf.ensure_shape(found, (None, count))

    def nearest(self, embeddings: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns similarities and numbers of the k nearest visited rows (`legacy`: of all rows).

        As in `nearest_rows`; call it in the replica context.
        """
        if self.shards == 1:
            usable = None if self.legacy else tf.cast(self.visited, tf.bool)
            return nearest_rows(embeddings, local(self.rows), k, usable)
        replica = tf.distribute.get_replica_context()
        first = tf.cast(replica.replica_id_in_sync_group, tf.int64)
        batch, each = items(embeddings), self.parts[0].shape[0]
        numbers = tf.range(each, dtype=tf.int64) * self.shards + first
        there = numbers < self.size
        if not self.legacy:
            visited = tf.cast(self.visited, tf.bool)
            there &= tf.gather(visited, tf.minimum(numbers, self.size - 1))
        embeddings = gathered(tf.stop_gradient(embeddings))
        nearest, place = nearest_rows(embeddings, local(self._whole()), min(k, each), there)
        nearest = self._of_replica(gathered(nearest, axis=1), batch)
        number = gathered(place * self.shards + first, axis=1)
        number = self._of_replica(number, batch)
        nearest, chosen = tf.math.top_k(nearest, k, sorted=False)
        return nearest, tf.minimum(tf.gather(number, chosen, batch_dims=1), self.size - 1)

    def update(self, index: tf.Tensor, embeddings: tf.Tensor, labels: tf.Tensor) -> None:
        """Mixes the batch into the bank; call it in the replica context, after the loss.

        Args:
            index: int64 [B], the replica's videos.
            embeddings: float32 [B, D].
            labels: int64 [B], -1 where unknown.
        """
        # Every copy gets every replica's rows: if each wrote only its own, they would differ.
        index, embeddings, labels = gathered(index), gathered(embeddings), gathered(labels)
        self.labels.scatter_update(tf.IndexedSlices(tf.cast(labels, tf.float64), index))
        self.visited.scatter_update(tf.IndexedSlices(tf.ones_like(index, tf.float32), index))
        if self.shards == 1:
            rows, own = local(self.rows), None
        else:  # for the others' videos, one of its own rows is rewritten unchanged
            rows = local(self._whole())
            own, index = self._own(index)
        old = tf.cast(tf.gather(rows, index), tf.float32)
        new = running_mean(old, index, embeddings, self.momentum, own)
        rows.scatter_update(tf.IndexedSlices(tf.cast(new, rows.dtype), index))

    def known_labels(self) -> np.ndarray:
        """Returns the labels, int64 [N]."""
        return self.labels.numpy().astype(np.int64)

    def used(self) -> np.ndarray:
        """Returns which rows hold a video, bool [N]: the visited ones (`legacy`: all)."""
        return (self.visited.numpy() > 0) | self.legacy

    def snapshot(self) -> tuple[list[tf.Tensor], list[np.ndarray]]:
        """Returns the current rows, float32, a tensor per shard, and the numbers of their videos.

        Rows that have not been visited are left out, unless the bank is `legacy`.
        """
        used = self.used()
        parts, numbers = [], []
        for shard, part in enumerate([self.rows] if self.shards == 1 else self.parts):
            own = used[shard :: self.shards]
            part = tf.cast(tf.identity(part), tf.float32)
            if len(part) != own.sum():
                part = tf.gather(part, np.flatnonzero(own))
            parts.append(part)
            numbers.append(np.flatnonzero(own) * self.shards + shard)
        return parts, numbers

    def whole(self) -> np.ndarray:
        """Returns all rows, float32 [N, D]."""
        parts = [self.rows] if self.shards == 1 else self.parts
        return joined([part.numpy() for part in parts], self.size)

    def get_config(self) -> dict:
        names = ("size", "dimension", "momentum", "seed", "legacy", "precision", "sharded")
        return {name: getattr(self, name) for name in names}

    def save_own_variables(self, store) -> None:
        # All rows, to be loaded on any number of replicas; in float32, as HDF5 has no bfloat16.
        store["rows"] = self.whole()
        store["labels"], store["visited"] = self.labels.numpy(), self.visited.numpy()

    def load_own_variables(self, store) -> None:
        self._assign(tf.cast(store["rows"][:], self.precision))
        self.labels.assign(store["labels"][:])
        self.visited.assign(store["visited"][:])

    def _own(self, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns which rows this replica holds, and where (0 for the others)."""
        replica = tf.distribute.get_replica_context()
        own = numbers % self.shards == tf.cast(replica.replica_id_in_sync_group, numbers.dtype)
        return own, tf.where(own, numbers // self.shards, 0)

    @staticmethod
    def _of_replica(values: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        """Returns this replica's part of what was computed for the global batch."""
        first = own_part(batch)[1]
        return values[first : first + batch]
