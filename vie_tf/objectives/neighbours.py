"""The background neighbours of Local Aggregation: the K nearest rows of a large memory bank."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from vie_tf import device

_BLOCK = 16_384  # rows whose similarities to the batch are held at once
_GPU_BLOCK = 1 << 19  # the same on a GPU: for a batch of 128, three times 256 MB at once
_GROUP = 16  # similarities that are skipped together by a look at their largest
_SAMPLE = 8192  # evenly spaced rows, to estimate the K-th largest similarity


def nearest_rows(
    embeddings: tf.Tensor, rows: tf.Variable, k: int, usable: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds each embedding's k rows of largest inner product, exactly; for use in a graph.

    It takes the time of the matrix product and of a pass over it, linear in N, and memory for a
    block of rows. A CPU sorts only what exceeds a threshold (`_by_threshold`), a GPU only the
    groups with the largest maxima (`_by_groups`).

    Args:
        embeddings: float32 [B, D]; no gradient flows to them from here.
        rows: float32 or bfloat16 [N, D]; a variable is read block by block, never copied whole.
        k: K, 1 to N.
        usable: bool [N]; rows marked False are ignored. Default: all count.

    Returns:
        Similarities float32 [B, K] and row numbers int64 [B, K], unordered. If fewer than K rows
        are usable, or an embedding is not a number, the remaining similarities are -inf.
    """
    count = rows.shape[0]
    embeddings = tf.stop_gradient(embeddings)
    batch = tf.shape(embeddings)[0]

    def similarities(numbers: tf.Tensor, there: tf.Tensor | None = None) -> tf.Tensor:
        """Similarities to the rows `numbers`; -inf for those not `there` or not usable."""
        # A gather, since slicing a variable copies it.
        part = tf.cast(tf.gather(rows, numbers), embeddings.dtype)
        product = tf.matmul(embeddings, part, transpose_b=True)
        if usable is not None:
            able = tf.gather(usable, numbers)
            there = able if there is None else there & able
        if there is None:
            return product
        return tf.nn.bias_add(product, tf.where(there, 0.0, float("-inf")))

    if count <= _BLOCK:
        nearest, number = tf.math.top_k(similarities(tf.range(count)), k, sorted=False)
        return nearest, tf.cast(number, tf.int64)

    if device.on_gpu():
        nearest, number = _as_graph(lambda: _by_groups(similarities, batch, count, k))
        # NaN: a row that is left out, or an embedding that is not a number.
        return tf.where(tf.math.is_nan(nearest), float("-inf"), nearest), number
    wanted = k if usable is None else tf.minimum(tf.math.count_nonzero(usable, dtype=tf.int32), k)
    # Nothing is kept for an embedding that is not a number.
    lacking = tf.math.is_finite(tf.reduce_sum(embeddings, axis=1))
    return _as_graph(lambda: _by_threshold(similarities, lacking, count, k, wanted))


def _as_graph(search):
    """Returns a search's result; its loops become those of the graph being built."""
    return search() if tf.executing_eagerly() else tf.function(search)()


def _by_groups(similarities, batch: tf.Tensor, count: int, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the k largest similarities of each item by operations of known size only.

    They lie in the k groups of rows with the largest maxima, so the maxima are sorted, then the
    members of those k groups: together about 2 sqrt(k N) values instead of N.
    """
    size = min(count, max(_GPU_BLOCK, k))
    group = max(1, math.isqrt(size // k))
    groups = -(-size // group)
    rows = tf.constant(np.arange(groups * group))

    def block(start) -> tuple[tf.Tensor, tf.Tensor]:
        own = rows + start
        there = (own < count) & (rows < size)
        found = similarities(tf.minimum(own, count - 1), there)
        # Group j has the rows j, j + groups, j + 2 groups..
        largest = tf.reduce_max(tf.reshape(found, (-1, group, groups)), axis=1)
        chosen = tf.cast(tf.math.top_k(largest, min(k, groups), sorted=False).indices, tf.int64)
        members = chosen[:, :, None] + tf.constant(np.arange(group) * groups)
        members = tf.reshape(members, (-1, chosen.shape[1] * group))
        nearest, place = tf.math.top_k(
            tf.gather(found, members, batch_dims=1), min(k, size), sorted=False
        )
        return nearest, tf.gather(members, place, batch_dims=1) + start

    nearest, number = block(tf.constant(0, tf.int64))
    if size == count:
        return nearest, tf.minimum(number, count - 1)
    for turn in tf.range(1, -(-count // size)):  # int32: counted on the host
        tf.autograph.experimental.set_loop_options(parallel_iterations=1)  # one block in memory
        more, of = block(tf.cast(turn, tf.int64) * size)
        nearest, place = tf.math.top_k(tf.concat([nearest, more], axis=1), k, sorted=False)
        number = tf.gather(tf.concat([number, of], axis=1), place, batch_dims=1)
    return nearest, tf.minimum(number, count - 1)


def _by_threshold(
    similarities, lacking: tf.Tensor, count: int, k: int, wanted
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the k largest similarities of each item by sorting those that exceed a threshold.

    A sample of the rows gives each item a threshold that somewhat more than k rows exceed. All rows
    are then read in blocks, and only similarities above the threshold are kept; whole groups whose
    largest is below it are skipped. Items that kept fewer than k are searched again with a lower
    threshold.

    Args:
        similarities: maps row numbers to similarities, [B, n].
        lacking: bool [B], the items to search.
        count: N.
        k: K.
        wanted: int32 [], how many rows to find.
    """
    batch = tf.shape(lacking)[0]
    sample = similarities(tf.range(_SAMPLE, dtype=tf.int64) * count // _SAMPLE)
    expected = k * _SAMPLE / count
    rank = tf.constant(math.ceil(expected + 4 * math.sqrt(expected) + 2))
    nearest = tf.zeros([batch, 0])
    number = tf.zeros([batch, 0], tf.int64)
    threshold = tf.where(lacking, 0.0, float("inf"))
    again = tf.constant(True)
    while again:
        tf.autograph.experimental.set_loop_options(
            shape_invariants=[
                (nearest, tf.TensorShape([None, None])),
                (number, tf.TensorShape([None, None])),
            ]
        )
        lower = -2.0 * tf.ones([batch])  # below any cosine
        if rank < _SAMPLE:
            lower = tf.maximum(
                tf.reduce_min(tf.math.top_k(sample, rank, sorted=False).values, axis=1), lower
            )
        threshold = tf.where(lacking, lower, threshold)
        nearest, number = _from(threshold, similarities, count, k)
        kept = tf.math.count_nonzero(nearest > -2.0, axis=1, dtype=tf.int32)
        lacking &= kept < wanted
        again = tf.reduce_any(lacking) & (rank < _SAMPLE)
        rank *= 4
    missing = tf.maximum(0, k - tf.shape(nearest)[1])
    nearest = tf.pad(nearest, [[0, 0], [0, missing]], constant_values=float("-inf"))
    number = tf.pad(number, [[0, 0], [0, missing]])
    nearest, chosen = tf.math.top_k(nearest, k, sorted=False)
    return nearest, tf.gather(number, chosen, batch_dims=1)


def _from(threshold: tf.Tensor, similarities, count: int, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the similarities at or above each item's threshold, and their rows, in any order.

    Returns:
        float32 and int64 [B, M], padded with -inf and 0 to the most that any item has. If one has
        many more than k, as with equal rows, only the largest of each item are kept.
    """
    batch = tf.shape(threshold, out_type=tf.int64)[0]
    size = _BLOCK // _GROUP
    nearest = tf.zeros([batch, 0])
    number = tf.zeros([batch, 0], tf.int64)
    for start in tf.range(0, count, _BLOCK, dtype=tf.int64):
        tf.autograph.experimental.set_loop_options(
            shape_invariants=[
                (nearest, tf.TensorShape([None, None])),
                (number, tf.TensorShape([None, None])),
            ]
        )
        # The last block overlaps the one before; what was seen there is left out below.
        begin = tf.minimum(start, count - _BLOCK)
        groups = similarities(tf.range(begin, begin + _BLOCK))
        groups = tf.reshape(groups, (-1, _GROUP))
        largest = tf.reshape(tf.reduce_max(groups, axis=1), (-1, size))
        item, group = tf.unstack(tf.where(largest >= threshold[:, None]), axis=1)
        found = tf.gather(groups, item * size + group)
        row = begin + group * _GROUP
        new = tf.where(found >= tf.gather(threshold, item)[:, None])
        place, member = tf.unstack(new, axis=1)
        row = tf.gather(row, place) + member
        value = tf.gather_nd(found, new)
        item = tf.gather(item, place)
        if begin < start:
            unseen = tf.where(row >= start)[:, 0]
            row, value, item = (
                tf.gather(row, unseen),
                tf.gather(value, unseen),
                tf.gather(item, unseen),
            )
        nearest = tf.concat([nearest, _rows_of(value, item, batch, float("-inf"))], axis=1)
        number = tf.concat([number, _rows_of(row, item, batch, 0)], axis=1)
        if tf.shape(nearest)[1] > 8 * k:
            nearest, chosen = tf.math.top_k(nearest, k, sorted=False)
            number = tf.gather(number, chosen, batch_dims=1)
    return nearest, number


def _rows_of(values: tf.Tensor, item: tf.Tensor, batch: tf.Tensor, default) -> tf.Tensor:
    """Arranges values of ascending items in a row per item, [batch, longest], padded."""
    return tf.RaggedTensor.from_value_rowids(values, item, batch, validate=False).to_tensor(default)
