"""Keras 2: TensorFlow's own up to 2.15; beside a later one, whose own is Keras 3, tf-keras."""

import tensorflow as tf

from vie_tf.errors import InputError

if tuple(map(int, tf.__version__.split(".")[:2])) < (2, 16):
    from tensorflow import keras
else:
    try:
        import tf_keras as keras
    except ModuleNotFoundError as error:
        if error.name != "tf_keras":
            raise
        release = ".".join(tf.__version__.split(".")[:2])
        raise InputError(
            f"TensorFlow {tf.__version__} needs tf-keras: pip install tf-keras=={release}.*"
        ) from error

__all__ = ["keras"]
