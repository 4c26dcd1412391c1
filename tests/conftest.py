"""What every test starts with: two logical processors, and float32."""

import pytest
import tensorflow as tf

# For the tests of several replicas; made before TensorFlow starts them.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(autouse=True)
def float32():
    """Leaves no test the precision of the one before."""
    yield
    tf.keras.mixed_precision.set_global_policy("float32")


@pytest.fixture(scope="session")
def replicas():
    """Two replicas on the two logical processors.

    One strategy for all tests: the keys of another one's collective operations start anew, and
    TensorFlow takes them for those of the first.
    """
    devices = tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])
