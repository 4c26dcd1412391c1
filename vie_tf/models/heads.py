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


def embedding(features, dimension: int):
    """Pooled features [B, C] to a point on the sphere: one linear layer, then the unit norm.

    No hidden layer and no dropout (paper section 3, "embedding function").
    """
    raw = keras.layers.Dense(dimension, dtype="float32", name="embedding_raw")(features)
    return UnitNorm(name="embedding")(raw)
