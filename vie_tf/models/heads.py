"""The heads, on top of the feature maps."""

from __future__ import annotations

import itertools
import math

import tensorflow as tf

from vie_tf.keras2 import keras
from vie_tf.models.layers import Mean, Pick

DIMENSION = 128  # of the embedding


@keras.utils.register_keras_serializable("vie_tf")
class UnitNorm(keras.layers.Layer):
    """Projects rows [B, D] onto the unit sphere S^(D-1), in float32."""

    def __init__(self, **kwargs):
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)

    def call(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.math.l2_normalize(rows, axis=-1)


def pool(maps, name: str = "pool"):
    """Averages over time and space, [B, T, h, w, C] to float32 [B, C]."""
    return keras.layers.GlobalAveragePooling3D(name=name, dtype="float32")(maps)


def pool_frames(maps, name: str = "pool"):
    """Averages over space, [B, T, h, w, C] to float32 [B, T, C]."""
    return Mean((2, 3), name=name, dtype="float32")(maps)


def embedding(features):
    """Maps pooled features [B, C] to points on the sphere, float32 [B, 128].

    One linear layer, no hidden layer and no dropout (paper section 3, "embedding function").
    """
    raw = keras.layers.Dense(DIMENSION, dtype="float32", name="embedding_raw")(features)
    return UnitNorm(name="embedding")(raw)


def pool_last_taps(taps: dict[str, tf.Tensor]):
    """Concatenates the last tap's mean over time and space and the Fast path's, float32 [B, C]."""
    last = sum(name.startswith("encode_") for name in taps)
    ends = [taps[name] for name in (f"encode_{last}", f"fast_encode_{last}") if name in taps]
    means = []
    for x in ends:
        x = keras.layers.Activation("linear", dtype="float32")(x)
        means.append(Mean(range(1, len(x.shape) - 1), dtype="float32")(x))
    return keras.layers.Concatenate(dtype="float32")(means) if means[1:] else means[0]


def logits(features, num_classes: int, initializer="glorot_uniform"):
    """Maps pooled features [B, C] to float32 [B, num_classes]."""
    return keras.layers.Dense(
        num_classes, kernel_initializer=initializer, dtype="float32", name="logits"
    )(features)


def order_logits(features, num_classes: int):
    """The order prediction network (OPN): classifies every order of four frames.

    A hidden layer sees each ordered pair of frames, the last layer the six pairs of an order.

    Args:
        features: of four frames in temporal order, concatenated, float32 [B, 4 C].
        num_classes: how many orders are distinguished.

    Returns:
        float32 [B, 24, num_classes], the orders as `itertools.permutations(range(4))` lists them.
    """
    pairs = list(itertools.permutations(range(4), 2))
    of_order = [
        [pairs.index(pair) for pair in itertools.combinations(order, 2)]
        for order in itertools.permutations(range(4))
    ]
    frames = keras.layers.Reshape((4, -1), dtype="float32")(features)
    both = [Pick(side, dtype="float32")(frames) for side in zip(*pairs)]
    both = keras.layers.Concatenate(dtype="float32")(both)
    x = keras.layers.Dense(512, "relu", dtype="float32", name="pairs")(both)
    x = keras.layers.Reshape((24, -1), dtype="float32")(Pick(of_order, dtype="float32")(x))
    return logits(x, num_classes)


def rotation_logits(features, num_classes: int):
    """3DRotNet's two linear layers: maps pooled features [B, C] to float32 [B, num_classes]."""
    return logits(keras.layers.Dense(64, dtype="float32", name="bottleneck")(features), num_classes)


def new_logits(features, num_classes: int):
    """As `logits`, with the initial weights of fine-tuning in the authors' code.

    They are normal with variance 1.3 * 2 / C, truncated at two standard deviations.
    """
    deviation = math.sqrt(1.3 * 2 / features.shape[-1])
    return logits(features, num_classes, keras.initializers.TruncatedNormal(stddev=deviation))


def read_outs(values: dict[str, int], num_classes: int, seed: int) -> keras.Model:
    """Builds a linear classifier per tap: vectors [B, D] by name to float32 [B, num_classes].

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
