"""What trains: GPUs or the processor, repeatably, in float32 or bfloat16."""

from __future__ import annotations

import contextlib
from pathlib import Path

import tensorflow as tf
from tensorflow import keras


def on_gpu() -> bool:
    """Whether there are GPUs, and so steps run on them."""
    return bool(tf.config.list_logical_devices("GPU"))


def strategy() -> tf.distribute.Strategy:
    """One replica for each GPU, to which batches are sent ahead."""
    if on_gpu():
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def set_seed(seed: int) -> None:
    """Makes all that follows a function of the seed, on GPUs too."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def set_precision(precision: str) -> None:
    """Sets Keras' policy; variables, loss and bank are float32 in any case."""
    keras.mixed_precision.set_global_policy(
        "mixed_bfloat16" if precision == "bfloat16" else "float32"
    )


def has_bfloat16() -> bool:
    """Whether the GPUs, or without any the processor, multiply bfloat16 natively."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return all(d.get("compute_capability", (0, 0)) >= (8, 0) for d in details)
    with contextlib.suppress(OSError):
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    return False
