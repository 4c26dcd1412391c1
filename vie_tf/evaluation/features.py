"""Feature maps as the read-outs of the authors' transfer experiments receive them."""

from __future__ import annotations

import tensorflow as tf

LARGEST = 200_000  # values of a map that a linear read-out takes without pooling


def mean(tap: tf.Tensor) -> tf.Tensor:
    """Mean over space, and time if there is any: [B, (T,) h, w, C] to float32 [B, C]."""
    return tf.reduce_mean(tf.cast(tap, tf.float32), axis=tuple(range(1, len(tap.shape) - 1)))


def flat(tap: tf.Tensor, largest: int | None = LARGEST) -> tf.Tensor:
    """A clip's map as one vector, averaged over time.

    Maps that exceed `largest` values are average-pooled, 2x2, or 4x4 if they exceed it four times.

    Args:
        tap: [B, T, h, w, C] or [B, h, w, C]; features [B, C] stay what they are.
        largest: 200,000 in the authors' read-outs; 400,000 where a map is that of two streams,
            None where their frames are averaged (TRN, Input-Single).

    Returns:
        float32 [B, h * w * C], in the authors' order: C, h, w, but h, w, C where pooled.
    """
    maps = _over_time(tap)
    if len(maps.shape) == 2:
        return maps
    values = maps.shape[1] * maps.shape[2] * maps.shape[3]
    if largest is None or values <= largest:
        return _channels_first(maps)
    size = 4 if values > 4 * largest else 2
    pooled = tf.nn.avg_pool2d(maps, size, size, "VALID")
    return tf.reshape(pooled, [tf.shape(pooled)[0], -1])


def pooled_by_3(tap: tf.Tensor) -> tf.Tensor:
    """As `flat`, but after 3x3 average pooling with stride 3: float32 [B, C * h/3 * w/3]."""
    return _channels_first(tf.nn.avg_pool2d(_over_time(tap), 3, 3, "SAME"))


def _over_time(tap: tf.Tensor) -> tf.Tensor:
    tap = tf.cast(tap, tf.float32)
    return tf.reduce_mean(tap, axis=1) if len(tap.shape) == 5 else tap


def _channels_first(maps: tf.Tensor) -> tf.Tensor:
    return tf.reshape(tf.transpose(maps, [0, 3, 1, 2]), [tf.shape(maps)[0], -1])
