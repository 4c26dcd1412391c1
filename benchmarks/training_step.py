"""The training step against the plainest Keras step of the same network shapes, in one run.

    python benchmarks/training_step.py --image_size=224 --batch_size=32

The peer is a pre-activation ResNet-18 with 'same' padding and a 128-d head in stock Keras layers,
softmax cross-entropy, `keras.optimizers.SGD` with momentum, no weight decay, one `tf.function`.
Ours does all of VIE on top: colour noise, 4,096 noise samples from a bank of 240,000 rows, L2
penalty, bank update. The two take turns; the figure is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import tensorflow as tf
from tensorflow import keras

from vie_tf.models import families
from vie_tf.objectives.memory_bank import MemoryBank
from vie_tf.training.optimizer import Momentum
from vie_tf.training.vie import VIE

BANK = 240_000


def plain_resnet18(image_size: int) -> keras.Model:
    """Pre-activation ResNet-18 as one would write it in Keras."""
    layers = keras.layers
    image = keras.Input((image_size, image_size, 3))
    x = layers.Rescaling(1 / 255.0)(image)
    x = layers.Conv2D(64, 7, 2, padding="same", use_bias=False)(x)
    x = layers.MaxPool2D(3, 2, padding="same")(x)
    for stage, width in enumerate((64, 128, 256, 512)):
        for first in (True, False):
            stride = 2 if first and stage else 1
            y = layers.ReLU()(layers.BatchNormalization()(x))
            if first:
                x = layers.Conv2D(width, 1, stride, use_bias=False)(y)
            y = layers.Conv2D(width, 3, stride, padding="same", use_bias=False)(y)
            y = layers.ReLU()(layers.BatchNormalization()(y))
            y = layers.Conv2D(width, 3, padding="same", use_bias=False)(y)
            x = layers.Add()([x, y])
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    return keras.Model(image, layers.Dense(128, dtype="float32")(x))


def plain_step(image_size: int, batch_size: int, rng: np.random.Generator):
    """One step of the peer on fixed data, as a function without arguments."""
    model = plain_resnet18(image_size)
    optimizer = keras.optimizers.SGD(0.03, 0.9)
    images = tf.constant(rng.integers(0, 256, (batch_size, image_size, image_size, 3)), tf.uint8)
    labels = tf.constant(rng.integers(0, 128, batch_size))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        weights = model.trainable_weights
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
        return loss

    return step


def vie_step(image_size: int, batch_size: int, rng: np.random.Generator):
    """One step of ours on fixed data, as a function without arguments."""
    model = VIE(families.build("single", image_size=image_size), MemoryBank(BANK))
    model.compile(Momentum(0.03, l2=1e-4))
    shape = (batch_size, 1, image_size, image_size, 3)
    batch = {
        "clip": tf.constant(rng.integers(0, 256, shape), tf.uint8),
        "index": tf.constant(rng.permutation(BANK)[:batch_size]),
        "label": tf.zeros(batch_size, tf.int64),
        "seed": tf.constant(rng.integers(0, 1 << 30, (batch_size, 2)), tf.int32),
    }

    @tf.function
    def step():
        return model.train_step(batch)["loss"]

    return step


def main() -> None:
    """Prints both speeds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--bfloat16", action="store_true")
    options = parser.parse_args()
    if options.bfloat16:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    rng = np.random.default_rng(0)
    steps = {
        name: make(options.image_size, options.batch_size, rng)
        for name, make in (("keras", plain_step), ("vie_tf", vie_step))
    }
    for step in steps.values():  # trace and warm up
        step(), step()
    seconds = {name: [] for name in steps}
    for turn in range(options.rounds):
        # The order alternates, so that neither always follows the other.
        for name in list(steps)[:: 1 if turn % 2 else -1]:
            start = time.perf_counter()
            steps[name]().numpy()
            seconds[name].append(time.perf_counter() - start)
    for name, times in seconds.items():
        print(
            f"{name:8} {options.batch_size / statistics.median(times):8.1f} clips/s "
            f"(median of {options.rounds}, {options.image_size} px, batch {options.batch_size})"
        )
    ratios = [ours / peer for ours, peer in zip(seconds["vie_tf"], seconds["keras"])]
    print(
        f"step time vie_tf / keras: {statistics.median(ratios):.3f} "
        f"(quartiles {np.quantile(ratios, 0.25):.3f} to {np.quantile(ratios, 0.75):.3f})"
    )


if __name__ == "__main__":
    main()
