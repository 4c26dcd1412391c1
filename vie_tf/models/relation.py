"""Multi-scale relation network: random subsets of the frames, of every size, through MLPs."""

from __future__ import annotations

import itertools

import numpy as np
import tensorflow as tf

from vie_tf.data import draws
from vie_tf.errors import InputError
from vie_tf.keras2 import keras
from vie_tf.models import heads, resnet
from vie_tf.models.layers import Mean, Sum

SUBSETS = 8  # at most, of each size
WIDTH = 512


@keras.utils.register_keras_serializable("vie_tf")
class FrameSubsets(keras.layers.Layer):
    """Picks subsets of the frames, [B, T, C] to [B, n, size * C], frames in temporal order.

    n is the number of all subsets, at most 8. In training, they are drawn at each step, with
    replacement, the same for the whole batch; otherwise they are equally spaced in the
    lexicographic list of all subsets (all of them, if there are no more than 8).

    Args:
        size: frames in a subset.
        seed: of the draws, which follow from it and the number of training steps so far; a run
            sets its own.
    """

    def __init__(self, size: int, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.size, self.seed = size, seed

    def build(self, shape):
        frames = range(shape[1])
        self.all = np.array(list(itertools.combinations(frames, self.size)), np.int64)
        self.steps = self.add_weight(
            "steps",
            dtype=tf.int64,
            initializer="zeros",
            trainable=False,
            # Each replica counts its own steps.
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def rows(self, training) -> tf.Tensor | np.ndarray:
        """Returns rows of the list of all subsets, int64 [n]."""
        count = min(SUBSETS, len(self.all))
        if not training:
            return np.linspace(0, len(self.all) - 1, count).astype(np.int64)
        step = self.steps.assign_add(1)
        seed = tf.stack([tf.constant(self.seed + self.size, tf.int64), step])
        return draws.integers(seed[None], count, len(self.all))[0]

    def call(self, frames: tf.Tensor, training=None) -> tf.Tensor:
        subsets = tf.gather(self.all, self.rows(training))
        picked = tf.gather(frames, subsets, axis=1)
        shape = tf.shape(picked)
        picked = tf.reshape(picked, [shape[0], shape[1], self.size * frames.shape[2]])
        return tf.ensure_shape(picked, [None, None, self.size * frames.shape[2]])

    def get_config(self):
        return {**super().get_config(), "size": self.size, "seed": self.seed}


def relation(clip, depth: int, bn_momentum: float, mean: bool = False):
    """Builds the relation network (the authors' code calls it trn; Zhou et al. 2018).

    Args:
        clip: Keras tensor [B, T, H, W, 3] of pixel values in 0..255; T at least 2.
        depth: 18, 34 or 50.
        bn_momentum: of batch normalisation's moving statistics.
        mean: whether the relations are averaged, not summed.

    Returns:
        The taps [B, T, h, w, C] by name, the last (`encode_11` at depth 18) the relations, float32
        [B, 512], which are also the features.

    Raises:
        InputError: clips have only one frame.
    """
    frames = clip.shape[1]
    if frames < 2:
        raise InputError(f"--family=relation takes clips of 2 frames or more, not {frames}")
    taps = resnet.resnet(clip, depth, bn_momentum)
    features = heads.pool_frames(resnet.last_tap(taps))
    relations = []
    for size in range(frames, 1, -1):
        name = f"relation_{size}"
        x = FrameSubsets(size, name=f"{name}_subsets", dtype="float32")(features)
        x = keras.layers.Dense(WIDTH, "relu", dtype="float32", name=f"{name}_hidden")(x)
        relations.append(keras.layers.Dense(WIDTH, dtype="float32", name=f"{name}_out")(x))
    x = keras.layers.Concatenate(axis=1, dtype="float32")(relations)
    x = (Mean if mean else Sum)((1,), dtype="float32")(x)
    return {**taps, f"encode_{len(taps) + 1}": x}, x
