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
