"""Communication between the replicas of a step."""

from __future__ import annotations

import tensorflow as tf


def gathered(values: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """Concatenates all replicas' values, the same on each; call it in the replica context.

    Args:
        values: float or int64 below 2^53, batch axis first. A shape that is known must be the same
            on all replicas, as it is in training.
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
    # A sum in which each replica has a slot of its own: `all_gather`, which takes values of any
    # size, returns to the host in the middle of a step. So do sums of integers.
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
    """Returns the size of the global batch, and where this replica's items begin in it.

    Args:
        batch: the replica's number of items; an int if all have as many, else int32 [].
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
    """Returns the number of items in a batch: an int if it is known, else int32 []."""
    return tf.shape(values)[0] if values.shape[0] is None else values.shape[0]


def replica_number() -> int:
    """Returns the number, from 0, of the replica being traced."""
    replica = tf.distribute.get_replica_context()
    return int(tf.get_static_value(replica.replica_id_in_sync_group))


def local(variable: tf.Variable) -> tf.Variable:
    """Returns this replica's own copy, whose rows can be read without reading all of it."""
    copies = tf.distribute.get_strategy().experimental_local_results(variable)
    return copies[replica_number() if copies[1:] else 0]
