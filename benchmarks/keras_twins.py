"""Every family as one would write it plainly in Keras, and one supervised training step of it.

Stock layers with 'same' padding, softmax cross-entropy on a 128-d head, `keras.optimizers.SGD`
with momentum and weight decay, one `tf.function`.
"""

from __future__ import annotations

import itertools

import numpy as np
import tensorflow as tf

from benchmarks import shapes
from vie_tf.keras2 import keras

layers = keras.layers


def path(x, shape: shapes.Path, joining=()):
    """The residual network.

    Args:
        x: [B, T, H, W, 3], or [B, H, W, 3] of a flat path.
        shape: of the network.
        joining: maps that are concatenated after the pooling and after each stage.

    Returns:
        The maps after the pooling and each stage, and the one after the last ReLU.
    """
    flat, halve = shape.flat, 2 if shape.cube else 1
    joints = []

    def conv(x, width, time, size, stride=(1, 1, 1)):
        kind = layers.Conv2D if flat else layers.Conv3D
        kernel = (time, size, size)[flat:]
        return kind(width, kernel, stride[flat:], padding="same", use_bias=False)(x)

    def activate(x):
        return layers.ReLU()(layers.BatchNormalization()(x))

    def join(x):
        joints.append(x)
        return layers.Concatenate()([x, joining[len(joints) - 1]]) if joining else x

    x = conv(x, shape.widths[0], shape.stem, 7, (1, 2, 2))
    pool = layers.MaxPool2D if flat else layers.MaxPool3D
    x = join(pool((3 if shape.cube else 1, 3, 3)[flat:], (halve, 2, 2)[flat:], "same")(x))
    for stage, (width, time) in enumerate(zip(shape.widths, shape.first)):
        for block in range(2):
            stride = (halve, 2, 2) if stage and not block else (1, 1, 1)
            y = activate(x)
            if not block:
                x = conv(y, width, 1, 1, stride)
            y = activate(conv(y, width, time, 3, stride))
            x = layers.Add()([x, conv(y, width, 3 if shape.cube else 1, 3)])
        x = join(x)
    return joints, activate(x)


def relations(frames):
    """Frames' features [B, T, C] through an MLP for each size of subset, summed to [B, 512]."""
    total = []
    for size in range(frames.shape[1], 1, -1):
        chosen = list(itertools.combinations(range(frames.shape[1]), size))[: shapes.SUBSETS]
        x = tf.gather(frames, chosen, axis=1)
        x = layers.Reshape((len(chosen), size * frames.shape[2]))(x)
        x = layers.Dense(512)(layers.Dense(512, "relu")(x))
        total.append(tf.reduce_sum(x, axis=1))
    return layers.Add()(total)


def network(family: str, frames: int, image_size: int) -> keras.Model:
    """From clips [B, T, H, W, 3] to [B, 128]."""
    clip = keras.Input((frames, image_size, image_size, 3))
    x = layers.Rescaling(1 / 255.0)(clip)
    if family == "slowfast":
        joints, fast = path(x, shapes.FAST)
        laterals = [
            layers.Conv3D(
                2 * y.shape[-1], (5, 1, 1), (shapes.ALPHA, 1, 1), padding="same", use_bias=False
            )(y)
            for y in joints
        ]
        _, slow = path(x[:, :: shapes.ALPHA], shapes.SLOW, laterals)
        x = layers.Concatenate()([layers.GlobalAveragePooling3D()(y) for y in (slow, fast)])
    elif shapes.PATHS[family].flat:
        x = tf.reshape(x, (-1, image_size, image_size, 3))
        x = layers.GlobalAveragePooling2D()(path(x, shapes.PATHS[family])[1])
        x = tf.reshape(x, (-1, frames, x.shape[-1]))
        x = relations(x) if family == "relation4" else layers.Flatten()(x)
    else:
        x = layers.GlobalAveragePooling3D()(path(x, shapes.PATHS[family])[1])
    return keras.Model(clip, layers.Dense(shapes.DIMENSION)(x))


def make_step(family: str, frames: int, image_size: int, batch_size: int, threads: int):
    """Trainable parameters, and a step on fixed random data: a function that returns the loss."""
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    rng = np.random.default_rng(0)
    model = network(family, frames, image_size)
    optimizer = keras.optimizers.SGD(0.003, 0.9, weight_decay=1e-4)
    size = (batch_size, frames, image_size, image_size, 3)
    clips = tf.constant(rng.integers(0, 256, size), tf.uint8)
    labels = tf.constant(rng.integers(0, shapes.DIMENSION, batch_size))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            logits = model(clips, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        weights = model.trainable_weights
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
        return loss

    return sum(int(np.prod(w.shape)) for w in model.trainable_weights), step
