"""Keras 2: TensorFlow's own up to 2.15; beside a later one, whose own is Keras 3, tf-keras."""

import tensorflow as tf

if tuple(map(int, tf.__version__.split(".")[:2])) < (2, 16):
    from tensorflow import keras
else:
    import tf_keras as keras

__all__ = ["keras"]
