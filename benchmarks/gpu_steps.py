"""Milliseconds on the device that TensorFlow chooses, as lines of JSON.

    python -m benchmarks.gpu_steps WHAT [WHAT ...]

WHAT is `keras:FAMILY:BATCH`, `vie:FAMILY:BATCH:OPTION..` with the options plain (no colour
noise), la (Local Aggregation), noxla and deterministic, or `noise`, `blur`, `neighbours`, `kmeans`,
`update`. `tiny` as the first word makes everything so small that a processor does it in seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from benchmarks import keras_twins, shapes, vie_step
from benchmarks.search import unit_rows
from benchmarks.timing import milliseconds
from vie_tf import device
from vie_tf.data.augmentation import AUGMENTATIONS, PAPER_COLOUR_NOISE, colour_noise
from vie_tf.keras2 import keras
from vie_tf.objectives.clustering import k_means
from vie_tf.objectives.memory_bank import MemoryBank
from vie_tf.objectives.neighbours import nearest_rows

SECONDS = 2.0
CLIPS = ((128, 1, 224), (64, 16, 112), (32, 16, 224))
BATCH, CLUSTERS, ITERATIONS = 128, 8000, 20


def tell(what: str, step: Callable[[], tf.Tensor], seconds: float, clips: int = 0) -> None:
    """Times a step and prints its line."""
    taken, first = milliseconds(step, seconds)
    found = {"what": what, "ms": taken, "first_ms": first}
    if clips:
        found["clips_per_second"] = clips / taken * 1e3
    if device.on_gpu():
        found["gpu_memory"] = device.memory()
    print(json.dumps(found), flush=True)


def main(*words: str) -> None:
    """Times the parts that the words name."""
    tiny = words[0] == "tiny"
    seconds, rows = (0.05, 20_000) if tiny else (SECONDS, vie_step.BANK)
    if any("deterministic" in word for word in words):
        device.set_seed(0, deterministic=True)
    precision = "float32" if tiny else "bfloat16"
    device.set_precision(precision)
    for what in words[tiny:]:
        kind, *options = what.split(":")
        if kind in ("keras", "vie"):
            keras.backend.clear_session()
            family, batch = options[0], 2 if tiny else int(options[1])
            frames, size = shapes.CLIPS[family]
            shape = (family, frames, 32 if tiny else size, batch, 0)
            if kind == "keras":
                _, step = keras_twins.make_step(*shape)
            else:
                colour = "plain" if "plain" in options else "noise"
                loss = "la" if "la" in options else "ir"
                # TensorFlow has no compiled gradient of max pooling that is deterministic.
                compiled = device.on_gpu() and not {"noxla", "deterministic"} & {*options}
                _, step = vie_step.make_step(*shape, precision, colour, loss, compiled)
            tell(what, step, seconds, batch)
        elif kind in ("noise", "blur"):
            strength = PAPER_COLOUR_NOISE if kind == "noise" else AUGMENTATIONS["simclr"].colour
            for batch, frames, size in ((2, 2, 32),) if tiny else CLIPS:
                of_clips(kind, strength, batch, frames, size, seconds)
        elif kind == "neighbours":
            neighbours(rows, (512,) if tiny else (512, 4096), seconds)
        elif kind == "kmeans":
            points = tf.constant(unit_rows(rows, 1))
            k, iterations = (50, 2) if tiny else (CLUSTERS, ITERATIONS)
            k_means([points], k, 0, 1)  # kernels and memory
            start = time.perf_counter()
            k_means([points], k, 0, iterations)
            taken = (time.perf_counter() - start) * 1e3
            print(json.dumps({"what": f"k-means, {k} clusters", "ms": taken}), flush=True)
        else:
            update("deterministic" in options, rows, seconds)


def of_clips(kind: str, strength, batch: int, frames: int, size: int, seconds: float) -> None:
    """Colour noise of a batch of random clips."""
    rng = np.random.default_rng(0)
    clip = tf.constant(rng.integers(0, 256, (batch, frames, size, size, 3)), tf.uint8)
    seed = tf.constant(rng.integers(0, 1 << 30, (batch, 2)), tf.int32)
    step = tf.function(lambda: tf.reduce_sum(colour_noise(clip, seed, strength)[:, 0, 0, 0, 0]))
    tell(f"{kind} {batch}x{frames}x{size}", step, seconds)


def neighbours(count: int, ks: tuple[int, ...], seconds: float) -> None:
    """Of a batch among the rows of a bank; and TensorFlow's product and top_k."""
    rows, asked = tf.Variable(unit_rows(count, 1)), tf.constant(unit_rows(BATCH, 2))
    for k in ks:
        ours = tf.function(lambda k=k: tf.reduce_sum(nearest_rows(asked, rows, k)[0]))
        tell(f"neighbours, K {k}", ours, seconds)

        def plain(k=k):
            products = tf.matmul(asked, rows, transpose_b=True)
            return tf.reduce_sum(tf.math.top_k(products, k, sorted=False).values)

        tell(f"matmul and top_k, K {k}", tf.function(plain), seconds)


def update(deterministic: bool, rows: int, seconds: float) -> None:
    """The bank's update."""
    bank = MemoryBank(rows)
    index = tf.constant(np.random.default_rng(0).permutation(rows)[:BATCH])
    embeddings, labels = tf.constant(unit_rows(BATCH, 3)), tf.zeros(BATCH, tf.int64)

    @tf.function
    def step():
        bank.update(index, embeddings, labels)
        return tf.gather(bank.rows, index)[0, 0]

    tell(f"bank's update{', deterministic' if deterministic else ''}", step, seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
