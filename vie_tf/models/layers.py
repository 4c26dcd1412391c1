"""Layers of the networks besides Keras' own: they have no weights, and all can be saved.

A layer that needs different operations on GPU and CPU chooses when it is called, so that a network
saved on one of them is as fast on the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from vie_tf import device
from vie_tf.keras2 import keras


@keras.utils.register_keras_serializable("vie_tf")
class FoldTime(keras.layers.Layer):
    """Turns clips into maps, [B, T, ...] to [B * T, ...], without a copy."""

    def call(self, clips: tf.Tensor) -> tf.Tensor:
        rows = tf.reshape(clips, tf.concat([[-1], tf.shape(clips)[2:]], axis=0))
        return tf.ensure_shape(rows, [None, *clips.shape[2:]])


@keras.utils.register_keras_serializable("vie_tf")
class UnfoldTime(keras.layers.Layer):
    """Turns maps into clips, [B * frames, ...] to [B, frames, ...], without a copy."""

    def __init__(self, frames: int, **kwargs):
        super().__init__(**kwargs)
        self.frames = frames

    def call(self, maps: tf.Tensor) -> tf.Tensor:
        rows = tf.reshape(maps, tf.concat([[-1, self.frames], tf.shape(maps)[1:]], axis=0))
        return tf.ensure_shape(rows, [None, self.frames, *maps.shape[1:]])

    def get_config(self):
        return {**super().get_config(), "frames": self.frames}


@keras.utils.register_keras_serializable("vie_tf")
class Subsample(keras.layers.Layer):
    """Takes every n-th place of [B, H, W, C] or [B, T, H, W, C] from the first; n differs by axis.

    Args:
        strides: n of (height, width) or of (time, height, width).
    """

    def __init__(self, strides: Sequence[int], **kwargs):
        super().__init__(**kwargs)
        self.strides = tuple(strides)

    def call(self, maps: tf.Tensor) -> tf.Tensor:
        if device.on_gpu():
            return maps[(slice(None), *(slice(None, None, n) for n in self.strides))]
        # Pooling one pixel: the same bits as strided slices, in a tenth to a fifth of the time.
        pool = tf.nn.avg_pool2d if len(self.strides) == 2 else tf.nn.avg_pool3d
        return pool(maps, 1, self.strides, "VALID")

    def get_config(self):
        return {**super().get_config(), "strides": self.strides}


@keras.utils.register_keras_serializable("vie_tf")
class ZeroPadding(keras.layers.Layer):
    """Pads [B, T, H, W, C] with zeros.

    Args:
        margins: how many zeros before and after, for (time, height, width).
    """

    def __init__(self, margins: Sequence[Sequence[int]], **kwargs):
        super().__init__(**kwargs)
        self.margins = tuple(tuple(margin) for margin in margins)

    def call(self, clips: tf.Tensor) -> tf.Tensor:
        paddings = ((0, 0), *self.margins, (0, 0))
        if device.on_gpu():  # where PadV2 reads its zero from host memory
            return tf.pad(clips, paddings)
        # Not tf.pad: TensorFlow 2.15 fails to fuse it on a CPU, and logs that.
        zero = tf.zeros((), clips.dtype)
        return tf.raw_ops.PadV2(input=clips, paddings=paddings, constant_values=zero)

    def get_config(self):
        return {**super().get_config(), "margins": self.margins}


@keras.utils.register_keras_serializable("vie_tf")
class Mean(keras.layers.Layer):
    """The mean over some axes."""

    def __init__(self, axes: Sequence[int], **kwargs):
        super().__init__(**kwargs)
        self.axes = tuple(axes)

    def call(self, values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(values, self.axes)

    def get_config(self):
        return {**super().get_config(), "axes": self.axes}


@keras.utils.register_keras_serializable("vie_tf")
class Sum(Mean):
    """The sum over some axes."""

    def call(self, values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(values, self.axes)


@keras.utils.register_keras_serializable("vie_tf")
class Pick(keras.layers.Layer):
    """Picks rows of [B, N, C] by their numbers.

    Args:
        rows: numbers below N, in a list or a list of lists, whose axes replace N.
    """

    def __init__(self, rows: Sequence, **kwargs):
        super().__init__(**kwargs)
        self.rows = rows

    def call(self, values: tf.Tensor) -> tf.Tensor:
        return tf.gather(values, self.rows, axis=1)

    def get_config(self):
        return {**super().get_config(), "rows": self.rows}
