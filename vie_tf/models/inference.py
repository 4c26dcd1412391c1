"""A network outside training."""

from __future__ import annotations

from typing import Callable

import tensorflow as tf

from vie_tf.keras2 import keras


def of_clips(
    network: keras.Model, compute: Callable[[tf.Tensor], tf.Tensor]
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a computation of clips that is traced once, for batches of any size.

    Args:
        network: whose clips they are.
        compute: of float32 clips [B, T, H, W, 3] in 0..255, in inference mode.

    Returns:
        The same, of clips of any type of numbers.
    """
    clips = tf.TensorSpec((None, *network.input.shape[1:]), tf.float32)
    traced = tf.function(compute, input_signature=[clips])
    return lambda clip: traced(tf.cast(clip, tf.float32))
