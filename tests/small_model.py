"""A model that is trained in no time, and its batches."""

import numpy as np
import tensorflow as tf

from vie_tf.keras2 import keras
from vie_tf.objectives.clustering import Clusters
from vie_tf.objectives.memory_bank import MemoryBank
from vie_tf.objectives.vie_model import VIE
from vie_tf.training.optimizer import Momentum

VIDEOS, SIZE = 12, 32


def small_network():
    """As a family's network, small, without batch normalisation (replicas do not share it)."""
    clip = keras.Input((1, SIZE, SIZE, 3), dtype="float32")
    x = keras.layers.Conv2D(8, 5, 4, activation="relu", kernel_initializer=_initial(0))(clip[:, 0])
    x = keras.layers.GlobalAveragePooling2D()(x / 255.0)
    x = keras.layers.Dense(128, kernel_initializer=_initial(1))(x)
    return keras.Model(clip, {"embedding": tf.math.l2_normalize(x, axis=1)})


def _initial(seed):
    return keras.initializers.GlorotUniform(seed)


def make_model(noise_samples=0, rate=0.1, aggregates=False, sharded=False):
    """By Instance Recognition, or by Local Aggregation of four clusters in a bank that is full."""
    bank, clusters = MemoryBank(VIDEOS, seed=5, sharded=sharded), Clusters(VIDEOS)
    model = VIE(
        small_network(),
        bank,
        noise_samples=noise_samples,
        temperature=0.1,
        seed=3,
        clusters=clusters,
        neighbours=6,
    )
    model.compile(Momentum(rate))
    if aggregates:
        bank.visited.assign(tf.ones_like(bank.visited))
        clusters.labels.assign(np.arange(VIDEOS)[:, None] % 4)
        model.aggregate()
    return model


def batches(steps, size=8):
    rng = np.random.default_rng(0)
    data = {
        "clip": rng.integers(0, 256, (steps * size, 1, SIZE, SIZE, 3)).astype("uint8"),
        "index": np.concatenate([rng.permutation(VIDEOS)[:size] for _ in range(steps)]),
        "label": rng.integers(5, size=steps * size),
        "seed": rng.integers(1 << 30, size=(steps * size, 2)).astype("int32"),
    }
    return tf.data.Dataset.from_tensor_slices(data).batch(size)
