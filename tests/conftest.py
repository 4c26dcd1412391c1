"""What every test starts with: two logical processors, and float32; and a small trained run."""

import pytest
import tensorflow as tf
from preparing import prepare
from words import TRAIN, vie_tf

from data_prep import moving_digits
from vie_tf import device
from vie_tf.models import resnet

# For the tests of several replicas; made before TensorFlow starts them.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(autouse=True)
def float32():
    """Leaves no test the precision of the one before."""
    yield
    tf.keras.mixed_precision.set_global_policy("float32")


@pytest.fixture
def as_on_gpu(monkeypatch):
    """What chooses a body by the device takes that of a GPU; it is the processor that runs it."""
    monkeypatch.setattr(device, "on_gpu", lambda: True)


@pytest.fixture
def narrow(monkeypatch):
    """Networks of the same operations and few weights, as TensorFlow keeps what it has traced."""
    widths, *others = resnet.resnet.__defaults__
    assert widths == resnet.STAGE_WIDTHS
    monkeypatch.setattr(resnet.resnet, "__defaults__", ((16, 16, 16, 16), *others))


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


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """The CSV of forty moving digits, of ten classes, in two splits. Leave it as it is."""
    folder = tmp_path_factory.mktemp("digits")
    moving_digits.make(str(folder), seed=0, limit=40)
    return folder / "videos.csv"


@pytest.fixture(scope="session")
def prepared(digits, tmp_path_factory):
    """The same videos, prepared. Leave them as they are."""
    return prepare(digits, tmp_path_factory.mktemp("prepared") / "set")


@pytest.fixture(scope="session")
def trained(digits, tmp_path_factory):
    """A run on them: VIE-Single by Instance Recognition, six steps. Change a copy of it."""
    workdir = tmp_path_factory.mktemp("runs") / "run"
    words = ("--steps=6", "--evaluate_every=6", "--save_every=2", *TRAIN)
    vie_tf("--mode=pretrain", f"--data={digits}", f"--workdir={workdir}", *words)
    return workdir
