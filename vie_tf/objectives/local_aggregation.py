"""Local Aggregation (LA): similar videos are pulled together (paper section 3, eq. 4)."""

from __future__ import annotations

import tensorflow as tf

EPSILON = 1e-7


def aggregation_loss(
    similarities: tf.Tensor, close: tf.Tensor, temperature: float = 0.07
) -> tf.Tensor:
    """Eq. 4: -ln[P(C_i and B_i) / P(B_i)]; `VIE.aggregation` finds B_i and C_i.

    P of a set of videos is the sum of their exp(similarity / temperature). An item none of whose
    background neighbours is close contributes -ln 1e-7, and no gradient.

    Args:
        similarities: float32 [B, K], of each embedding to its background neighbours B_i in the
            bank; -inf where it has fewer than K.
        close: bool [B, K], which of them are close neighbours C_i.
        temperature: tau of eq. 2.

    Returns:
        float32 [B], the loss of each item.
    """
    largest = tf.maximum(tf.reduce_max(similarities, axis=1, keepdims=True), -1.0)
    weights = tf.exp((similarities - tf.stop_gradient(largest)) / temperature)
    both = tf.reduce_sum(tf.where(close, weights, 0.0), axis=1)
    ratio = tf.math.divide_no_nan(both, tf.reduce_sum(weights, axis=1))
    return -tf.math.log(ratio + EPSILON)
