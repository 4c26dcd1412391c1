"""What the replicas of a step tell each other."""

from __future__ import annotations

import tensorflow as tf


def gathered(values: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """All replicas' values one after the other, the same on each; call it in the replica context.

    Args:
        values: float or int64 below 2^53, the batch first. Where their shape is known it is that of
            all replicas, which is how training makes its batches.
        axis: along which they are joined, 0 or 1.

    Returns:
        The same type. The gradient is that of the sum of all replicas' losses.
    """
    replica = tf.distribute.get_replica_context()
    count = replica.num_replicas_in_sync
    if count == 1:
        return values
    if not values.shape.is_fully_defined():
        return replica.all_gather(values, axis=axis)
    # A sum in which each replica has a place of its own: `all_gather`, which takes values of any
    # size, comes back to the host in the middle of a step. So do sums of whole numbers.
    shape, dtype = values.shape.as_list(), values.dtype
    if dtype.is_integer:
        values = tf.cast(values, tf.float64)
    own = tf.one_hot(replica.replica_id_in_sync_group, count, on_value=True, off_value=False)
    own = tf.reshape(own, (count, *[1] * len(shape)))
    placed = tf.where(own, values[None], tf.zeros((), values.dtype))
    every = replica.all_reduce(tf.distribute.ReduceOp.SUM, placed)
    if axis:
        every = tf.transpose(every, (1, 0, *range(2, len(shape) + 1)))
    shape[axis] *= count
    return tf.cast(tf.reshape(every, shape), dtype)


def own_part(batch: tf.Tensor | int) -> tuple[tf.Tensor | int, tf.Tensor | int]:
    """Size of the global batch, and where in it this replica's items begin.

    Args:
        batch: the replica's own items; a number where all replicas have as many, else int32 [].
    """
    replica = tf.distribute.get_replica_context()
    if not tf.is_tensor(batch) or replica.num_replicas_in_sync == 1:
        return (
            batch * replica.num_replicas_in_sync,
            batch * replica.replica_id_in_sync_group,
        )
    sizes = replica.all_gather(batch[None], axis=0)
    return tf.reduce_sum(sizes), tf.reduce_sum(sizes[: replica.replica_id_in_sync_group])


def items(values: tf.Tensor) -> tf.Tensor | int:
    """How many items a batch has: a number where it is known, else int32 []."""
    return tf.shape(values)[0] if values.shape[0] is None else values.shape[0]


def replica_number() -> int:
    """Of the replica that is being traced, from 0."""
    replica = tf.distribute.get_replica_context()
    return int(tf.get_static_value(replica.replica_id_in_sync_group))


def local(variable: tf.Variable) -> tf.Variable:
    """This replica's own copy, whose rows can be read without reading it whole."""
    copies = tf.distribute.get_strategy().experimental_local_results(variable)
    return copies[replica_number() if copies[1:] else 0]
