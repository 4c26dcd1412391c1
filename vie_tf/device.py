"""The device that computes, GPUs or the CPU; determinism, compilation and precision."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from pathlib import Path
from typing import Callable

import tensorflow as tf

from vie_tf.errors import InputError
from vie_tf.keras2 import keras

# The first major compute capability whose GPUs a release of CUDA does not know.
_UNKNOWN_TO = {"12.2": 10}
_DRIVER = Path("/proc/driver/nvidia/version")


def on_gpu() -> bool:
    """Returns whether there are GPUs, on which steps then run.

    Some operations need different code to be fast on a CPU and on a GPU: such a function has two
    bodies, and asks here which one to use.
    """
    return bool(tf.config.list_logical_devices("GPU"))


def compiled(function: Callable, wanted: bool | None = None) -> Callable:
    """Compiles a function of tensors by TensorFlow's XLA, which only pays on GPUs.

    Call it again for each replica that traces a step, so that each finds its own variable copies.

    Args:
        function: may read and write variables.
        wanted: whether to compile; None: on GPUs.
    """
    wanted = on_gpu() if wanted is None else wanted
    return tf.function(function, jit_compile=True) if wanted else function


def strategy() -> tf.distribute.Strategy:
    """Returns a strategy with one replica per GPU, to which batches are sent ahead."""
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        return tf.distribute.get_strategy()
    if len(gpus) == 1:
        return tf.distribute.OneDeviceStrategy(gpus[0].name)
    if len(gpus) > len(tf.config.list_physical_devices("GPU")):
        # Parts of one card, which NVIDIA's multi-GPU library refuses.
        return tf.distribute.MirroredStrategy(
            cross_device_ops=tf.distribute.HierarchicalCopyAllReduce()
        )
    return tf.distribute.MirroredStrategy()


def set_seed(seed: int, deterministic: bool | None = None) -> None:
    """Makes everything that follows a function of the seed.

    Args:
        seed: of every random draw.
        deterministic: whether to the last bit; None: without a GPU, where it costs nothing.
    """
    keras.utils.set_random_seed(seed)
    if not on_gpu() if deterministic is None else deterministic:
        # TensorFlow would copy the whole memory bank to the host and back to write a few of its
        # rows in a fixed order. Here, equal places get equal values, so any order will do.
        os.environ["TF_DISABLE_SCATTER_OP_DETERMINISM"] = "1"
        tf.config.experimental.enable_op_determinism()


def set_precision(precision: str) -> None:
    """Sets Keras' policy; variables, loss and bank are float32 in any case."""
    keras.mixed_precision.set_global_policy(
        "mixed_bfloat16" if precision == "bfloat16" else "float32"
    )


def has_bfloat16() -> bool:
    """Returns whether the GPUs, or the CPU if there are none, multiply bfloat16 natively."""
    if gpus := tf.config.list_physical_devices("GPU"):
        return all(_capability(gpu) >= (8, 0) for gpu in gpus)
    with contextlib.suppress(OSError):
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    return False


def _capability(gpu: tf.config.PhysicalDevice) -> tuple[int, int]:
    details = tf.config.experimental.get_device_details(gpu)
    return details.get("compute_capability", (0, 0))


def gpus_in_words() -> str:
    """Describes the GPUs used, and whether kernels must be compiled; '' if there are none.

    Raises:
        InputError: there are GPUs, but this TensorFlow can use none of them, or does not know
            their generation.
    """
    gpus, build = tf.config.list_physical_devices("GPU"), tf.sysconfig.get_build_info()
    if not gpus:
        _check_unused_gpus(build)
        return ""
    first = _UNKNOWN_TO.get(str(build.get("cuda_version")), 1000)
    names = []
    for gpu in gpus:
        name = tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        major, minor = _capability(gpu)
        if major >= first:
            raise InputError(
                f"TensorFlow {tf.__version__} (CUDA {build['cuda_version']}) has no kernels "
                f"for {name}, of compute capability {major}.{minor}: it needs TensorFlow 2.21, for "
                "which make an environment with Python 3.10 to 3.13 and pip install "
                "'.[gpu-newest]'; CUDA_VISIBLE_DEVICES=-1 trains on the processor"
            )
        names.append(f"{name} (compute capability {major}.{minor})")
    counted = [f"{names.count(x)} x {x}" if names.count(x) > 1 else x for x in dict.fromkeys(names)]
    said = ", ".join(counted)
    if not all(_has_kernels(build, *_capability(gpu)) for gpu in gpus):
        said += (
            f"; TensorFlow {tf.__version__} has no ready kernels for it, so they are compiled at "
            "their first use: a minute or two, once on this machine"
        )
    return said


def _has_kernels(build: dict, major: int, minor: int) -> bool:
    """Returns whether a build has machine code for a compute capability: 8.0's runs on 8.6."""
    numbers = [name.split("_")[1] for name in build.get("cuda_compute_capabilities", ())]
    return any(int(n[:-1]) == major and int(n[-1]) <= minor for n in numbers)


def _check_unused_gpus(build: dict) -> None:
    """Raises InputError if there is a GPU that TensorFlow for GPUs does not find."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1")
    if hidden or not build.get("is_cuda_build") or not any(_DRIVER.parent.glob("gpus/*")):
        return
    newest = "-newest" if importlib.util.find_spec("tf_keras") else ""
    if newest and not _has_cuda_packages():
        return  # the extra `cpu`, whose TensorFlow is built for GPUs too
    with contextlib.suppress(OSError):
        said = _DRIVER.read_text().splitlines()[0]
        raise InputError(
            f"there is a GPU, and TensorFlow {tf.__version__} cannot use it: CUDA "
            f"{build['cuda_version']} is not installed (pip install '.[gpu{newest}]') or the "
            f"driver is too old for it ({said}); CUDA_VISIBLE_DEVICES=-1 trains on the processor"
        )


def _has_cuda_packages() -> bool:
    """Returns whether pip has installed what TensorFlow needs to compute on a GPU."""
    try:
        return importlib.util.find_spec("nvidia.cudnn") is not None
    except ImportError:
        return False


def memory() -> float | None:
    """Returns the peak memory used on any GPU so far, GB; None without GPUs."""
    held = [
        tf.config.experimental.get_memory_info(gpu.name.removeprefix("/device:"))["peak"]
        for gpu in tf.config.list_logical_devices("GPU")
    ]
    return max(held) / 1e9 if held else None
