"""What a user of a GPU is told, and what is chosen by the device; no GPU is needed."""

import importlib.util
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import tensorflow as tf
from words import parse

from vie_tf import device, main
from vie_tf.commands import command, mode_pretrain
from vie_tf.commands.flags import given, settings
from vie_tf.errors import InputError
from vie_tf.training.defaults import complete

BUILD = {
    "is_cuda_build": True,
    "cuda_version": "12.2",
    "cuda_compute_capabilities": ["sm_50", "sm_60", "sm_70", "sm_75", "compute_80"],
}


def cards(monkeypatch, *found, build=BUILD):
    """As many GPUs, each a name and a compute capability."""
    gpus = [tf.config.PhysicalDevice(f"/physical_device:GPU:{i}", "GPU") for i in range(len(found))]
    details = {
        gpu.name: {"device_name": name, "compute_capability": capability}
        for gpu, (name, capability) in zip(gpus, found)
    }
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: gpus)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details[gpu.name])
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: build)


def test_gpus_are_named_and_counted(monkeypatch):
    cards(monkeypatch, ("Tesla T4", (7, 5)), ("Tesla T4", (7, 5)), ("Tesla V100", (7, 0)))
    said = device.gpus_in_words()
    assert said == ("2 x Tesla T4 (compute capability 7.5), Tesla V100 (compute capability 7.0)")


def test_a_gpu_without_ready_kernels_takes_patience(monkeypatch):
    cards(monkeypatch, ("NVIDIA H200", (9, 0)))
    assert "no ready kernels" in device.gpus_in_words() and device.has_bfloat16()
    cards(monkeypatch, ("NVIDIA RTX A6000", (8, 6)))  # runs what was made for 8.0
    assert "ready" not in device.gpus_in_words()


def test_a_gpu_that_tensorflow_does_not_know_is_one_line(monkeypatch):
    cards(monkeypatch, ("NVIDIA B200", (10, 0)))
    with pytest.raises(InputError, match="no kernels for NVIDIA B200.*needs TensorFlow 2.21"):
        device.gpus_in_words()
    cards(monkeypatch, ("NVIDIA B200", (10, 0)), build={**BUILD, "cuda_version": "12.9"})
    assert "B200" in device.gpus_in_words()


def test_a_gpu_that_tensorflow_cannot_use_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "gpus" / "0000:01").mkdir(parents=True)
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 450.80\nGCC\n")
    monkeypatch.setattr(device, "_DRIVER", tmp_path / "version")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(device, "_has_cuda_packages", lambda: True)
    cards(monkeypatch)
    with pytest.raises(InputError, match="too old for it .NVRM version.*450.80"):
        device.gpus_in_words()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert device.gpus_in_words() == ""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with monkeypatch.context() as of_2_21:  # installed for the processor, though built for GPUs
        of_2_21.setattr(device.importlib.util, "find_spec", lambda name: True)
        of_2_21.setattr(device, "_has_cuda_packages", lambda: False)
        assert device.gpus_in_words() == ""
    cards(monkeypatch, build={"is_cuda_build": False})
    assert device.gpus_in_words() == ""


def test_out_of_memory_is_one_line(monkeypatch):
    def large():
        raise tf.errors.ResourceExhaustedError(None, None, "{{node conv}} OOM allocating\nmore")

    monkeypatch.setattr(mode_pretrain, "run", large)
    parse("--data=x", "--workdir=y")
    level = tf.get_logger().level
    try:
        with pytest.raises(InputError, match="^out of memory: OOM allocating; give .*--batch_size"):
            main.main()
    finally:
        tf.get_logger().setLevel(level)  # or later tests would not hear of what is deprecated


OUT_OF_MEMORY = """
from vie_tf import main
from vie_tf.commands import command
command.import_tensorflow()
import tensorflow as tf
from vie_tf.commands import mode_pretrain

def large():
    raise tf.errors.ResourceExhaustedError(None, None, "OOM allocating 9 GB\\nmore")

mode_pretrain.run = large
main.run()
"""


def test_out_of_memory_ends_the_command():
    words = [sys.executable, "-c", OUT_OF_MEMORY, "--data=x", "--workdir=y"]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}  # as the command sets it
    run = subprocess.run(words, capture_output=True, text=True, env=quiet)
    assert run.returncode == 1 and run.stderr.count("\n") == 1
    assert run.stderr.startswith("vie_tf: out of memory: OOM allocating 9 GB; give another")


@pytest.mark.parametrize(
    "logical, physical, expected",
    [
        (0, 0, "default"),
        (1, 1, "one of /device:GPU:0"),
        (2, 2, "mirrored"),
        (2, 1, "mirrored by copies"),  # two parts of one card
    ],
)
def test_a_replica_for_each_gpu(logical, physical, expected, monkeypatch):
    made = SimpleNamespace(
        OneDeviceStrategy=lambda name: f"one of {name}",
        MirroredStrategy=lambda cross_device_ops="": "mirrored" + cross_device_ops,
        HierarchicalCopyAllReduce=lambda: " by copies",
        get_strategy=lambda: "default",
    )
    gpus = [SimpleNamespace(name=f"/device:GPU:{i}") for i in range(2)]
    monkeypatch.setattr(tf, "distribute", made)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus[:logical])
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus[:physical])
    assert device.strategy() == expected


def test_memory_is_that_of_the_fullest_gpu(monkeypatch):
    assert device.memory() is None
    peaks = {"GPU:0": 3e9, "GPU:1": 5e9}
    gpus = [SimpleNamespace(name=f"/device:{name}") for name in peaks]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus)
    monkeypatch.setattr(
        tf.config.experimental, "get_memory_info", lambda name: {"current": 1, "peak": peaks[name]}
    )
    assert device.memory() == 5.0


def test_the_compiler_finds_what_pip_installed(monkeypatch):
    found = SimpleNamespace(submodule_search_locations=["/env/nvidia/cuda_nvcc"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    monkeypatch.setenv("CUDA_CACHE_MAXSIZE", "7")
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x")
    for _ in range(2):
        command.prepare_gpus()
    layout, where = (
        "--xla_gpu_force_conv_nhwc=true",
        "--xla_gpu_cuda_data_dir=/env/nvidia/cuda_nvcc",
    )
    assert os.environ["XLA_FLAGS"] == f"--xla_dump_to=x {layout} {where}"
    assert os.environ["CUDA_CACHE_MAXSIZE"] == "7"  # the user's
    monkeypatch.delenv("XLA_FLAGS")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    command.prepare_gpus()
    assert os.environ["XLA_FLAGS"] == layout
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_force_conv_nhwc=false")
    command.prepare_gpus()
    assert os.environ["XLA_FLAGS"] == "--xla_gpu_force_conv_nhwc=false"  # the user's


@pytest.mark.parametrize("wanted, known", [(True, 1), (False, 0), (None, 1)])
def test_determinism_is_a_choice(wanted, known, monkeypatch):
    called = []
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: called.append(True)
    )
    device.set_seed(1, wanted)
    assert len(called) == known


@pytest.mark.parametrize(
    "word, on_gpu, expected",
    [
        ("--deterministic", True, ("True", "False")),
        ("--xla", False, ("False", "True")),
        ("--noxla", True, ("False", "False")),
        ("--nodeterministic", False, ("False", "False")),
    ],
)
def test_what_is_asked_for_settles_the_other(word, on_gpu, expected, monkeypatch):
    """TensorFlow refuses to compile gradients of max pooling where it has to be deterministic."""
    monkeypatch.setattr(device, "on_gpu", lambda: on_gpu)
    parse("--data=x", "--workdir=y", word)
    found = complete(settings(), given(), 100)[1]
    assert (found["deterministic"], found["xla"]) == expected


def test_defaults_by_the_device(body):
    parse("--data=x", "--workdir=y")
    found = complete(settings(), given(), 100)[1]
    on_gpu = body == "gpu"
    assert (found["deterministic"], found["xla"]) == (str(not on_gpu), str(on_gpu))
