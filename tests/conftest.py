"""What every test starts with: two logical processors, and float32; and a small trained run."""

import ctypes
import fcntl
import gc
import os
import resource
import shutil
import sys
from pathlib import Path

import environment  # before TensorFlow
import pytest
import small_networks
import tensorflow as tf
from preparing import prepare
from tensorflow.python.framework import ops
from words import TRAIN, vie_tf

from data_prep import moving_digits
from vie_tf import device
from vie_tf.keras2 import keras

# For the tests of several replicas; made before TensorFlow starts them.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

small_networks.use()
tf.get_logger().addHandler(environment.Refuse())

# Tracing makes many objects that live long: Python need not look through all of them so often.
gc.freeze()
gc.set_threshold(100_000, 20, 20)

_GROWN = [0]  # bytes since memory was freed


def pytest_configure(config):
    """Python's warnings of what is deprecated are errors in our modules."""
    tests = (file.stem for file in Path(__file__).parent.glob("*.py"))
    ours = "|".join(("vie_tf", "data_prep", "benchmarks", *sorted(tests)))
    for kind in ("DeprecationWarning", "FutureWarning"):
        config.addinivalue_line("filterwarnings", rf"error::{kind}:({ours})(\.|$)")


@pytest.fixture(autouse=True)
def float32():
    """Leaves no test the precision of the one before."""
    yield
    keras.mixed_precision.set_global_policy("float32")


def _free():
    """Frees what no test holds any more.

    Of each training step that is traced TensorFlow registers a gradient of the gradients' sum over
    replicas, for good, and with it keeps the graph and all variables: 118 MB of a ResNet-18. Nobody
    asks for it again. What XLA has compiled stays until the process ends.
    """
    for name in list(ops.gradient_registry.list()):
        if name.startswith("CustomGradient-"):
            del ops.gradient_registry._registry[name]
    keras.backend.clear_session()
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)  # gives it back to the system


def _held():
    """Bytes of memory that the process holds; 0 where the system does not say so."""
    told = Path("/proc/self/statm")
    return int(told.read_text().split()[1]) * resource.getpagesize() if told.exists() else 0


def pytest_collection_finish(session):
    """Tells tests/in_parts.py, which starts this process, its tests."""
    if place := os.environ.get("VIE_TEST_IDS"):
        Path(place).write_text("\n".join(item.nodeid for item in session.items))


@pytest.fixture(autouse=True)
def freed_by_tests():
    """Frees memory, which takes a moment, where tests have taken much."""
    before = _held()
    yield
    _GROWN[0] += max(0, _held() - before)
    if _GROWN[0] > 300e6:
        _free()
        _GROWN[0] = 0


@pytest.fixture
def as_on_gpu(monkeypatch):
    """What chooses a body by the device takes that of a GPU; it is the processor that runs it."""
    monkeypatch.setattr(device, "on_gpu", lambda: True)


@pytest.fixture(scope="module")
def real_networks():
    """Networks as they are, for the tests of a file that are of a network's size or depth."""
    with small_networks.real():
        yield


@pytest.fixture(params=["processor", "gpu"])
def body(request):
    """Once as it is, once with what would run on a GPU."""
    if request.param == "gpu":
        request.getfixturevalue("as_on_gpu")
    return request.param


@pytest.fixture(scope="session")
def replicas():
    """Two replicas on the two logical processors.

    One strategy for all tests: the keys of another one's collective operations start anew, and
    TensorFlow takes them for those of the first.
    """
    devices = tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def once(tmp_path_factory, name, make):
    """A folder that `make` fills: once for all the processes of a run of the tests."""
    shared = os.environ.get("VIE_TEST_SHARED")
    root = Path(shared) if shared else tmp_path_factory.getbasetemp()
    folder, made = root / name, root / f"{name}.made"
    with open(root / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """The CSV of forty moving digits, of ten classes, in two splits. Leave it as it is."""

    def make(folder):
        moving_digits.make(str(folder), seed=0, limit=40)

    return once(tmp_path_factory, "digits", make) / "videos.csv"


@pytest.fixture(scope="session")
def prepared(digits, tmp_path_factory):
    """The same videos, prepared. Leave them as they are."""
    return once(tmp_path_factory, "prepared", lambda x: prepare(digits, x / "set")) / "set"


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """A run on them: VIE-Single by Instance Recognition, six steps. Change a copy of it."""

    def make(folder):
        words = ("--steps=6", "--evaluate_every=6", "--save_every=2", *TRAIN)
        vie_tf("--mode=pretrain", f"--data={digits}", f"--workdir={folder / 'run'}", *words)

    made = once(tmp_path_factory, f"trained_{small_networks.name()}", make)
    # Evaluations write into the copy of their file.
    return shutil.copytree(made / "run", tmp_path_factory.mktemp("runs") / "run")
