"""Our own training step, with all that VIE does: the subject of the training-step benchmark.

Colour noise, 4,096 noise samples a clip from a bank of 240,000 rows, L2 penalty, bank update.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from vie_tf.data.augmentation import PAPER_COLOUR_NOISE, ColourNoise
from vie_tf.keras2 import keras
from vie_tf.models import families
from vie_tf.objectives.clustering import Clusters
from vie_tf.objectives.memory_bank import MemoryBank
from vie_tf.objectives.vie_model import VIE
from vie_tf.training.optimizer import Momentum

BANK = 240_000


def make_step(
    family: str,
    frames: int,
    image_size: int,
    batch_size: int,
    threads: int,
    precision: str = "float32",
    colour: str = "noise",
    loss: str = "ir",
    xla: bool | None = None,
):
    """Trainable parameters, and a step on fixed random data: a function that returns the loss.

    Without colour noise ("plain") it takes the clips as the twins do, as they are. With the loss
    "la" it is a step of Local Aggregation: 512 background neighbours, 8,000 clusters.
    """
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    if precision == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    rng = np.random.default_rng(0)
    network = families.build(family, image_size, frames=frames)
    strength = PAPER_COLOUR_NOISE if colour == "noise" else ColourNoise(0, 0, 0, 0, 0)
    model = VIE(network, MemoryBank(BANK), colour=strength, clusters=Clusters(BANK))
    model.compile(Momentum(0.03, l2=1e-4), jit_compile=xla)
    if loss == "la":
        model.clusters.labels.assign(rng.integers(8000, size=(BANK, 1)))
        model.bank.visited.assign(tf.ones(BANK))
        model.aggregate()
    size = (batch_size, frames, image_size, image_size, 3)
    batch = {
        "clip": tf.constant(rng.integers(0, 256, size), tf.uint8),
        "index": tf.constant(rng.permutation(BANK)[:batch_size]),
        "label": tf.zeros(batch_size, tf.int64),
        "seed": tf.constant(rng.integers(0, 1 << 30, (batch_size, 2)), tf.int32),
    }

    @tf.function
    def step():
        return model.take_step(batch)["loss"]

    return sum(int(np.prod(w.shape)) for w in network.trainable_weights), step
