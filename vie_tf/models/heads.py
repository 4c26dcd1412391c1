"""What stands on the feature maps."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras


@keras.utils.register_keras_serializable("vie_tf")
class UnitNorm(keras.layers.Layer):
    """Projects rows [B, D] onto the unit sphere S^(D-1), in float32."""

    def __init__(self, **kwargs):
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)

    def call(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.math.l2_normalize(rows, axis=-1)


def pool(maps, name: str = "pool"):
    """Mean over time and space, [B, T, h, w, C] to float32 [B, C]."""
    return keras.layers.GlobalAveragePooling3D(name=name, dtype="float32")(maps)


def pool_frames(maps, name: str = "pool"):
    """Mean over space, [B, T, h, w, C] to float32 [B, T, C]."""
    return keras.layers.Lambda(
        lambda x: tf.reduce_mean(x, axis=(2, 3)), name=name, dtype="float32"
    )(maps)


def embedding(features, dimension: int):
    """Pooled features [B, C] to points on the sphere, float32 [B, dimension].

    One linear layer, no hidden layer and no dropout (paper section 3, "embedding function").
    """
    raw = keras.layers.Dense(dimension, dtype="float32", name="embedding_raw")(features)
    return UnitNorm(name="embedding")(raw)


def logits(features, num_classes: int):
    """Pooled features [B, C] to float32 [B, num_classes]."""
    return keras.layers.Dense(num_classes, dtype="float32", name="logits")(features)


def read_outs(values: dict[str, int], num_classes: int, seed: int) -> keras.Model:
    """A linear classifier for each tap: vectors [B, D] by name to logits float32 [B, num_classes].

    Args:
        values: D of each tap.
        num_classes: of each classifier.
        seed: of the initial kernels, truncated normal of variance 2 / D; biases are 0.
    """
    taps = {name: keras.Input((count,), name=name) for name, count in values.items()}
    logits = {}
    for number, (name, tap) in enumerate(taps.items()):
        initial = keras.initializers.VarianceScaling(2.0, "fan_in", seed=seed + number)
        layer = keras.layers.Dense(
            num_classes, kernel_initializer=initial, dtype="float32", name=f"{name}_logits"
        )
        logits[name] = layer(tap)
    return keras.Model(taps, logits, name="read_outs")
