"""The twins of keras_twins.py in Keras 3, which TensorFlow 2.21 comes with."""

from __future__ import annotations

import sys

import keras

from vie_tf import keras2

if int(keras.__version__.split(".")[0]) < 3:
    sys.exit("Keras 3 is not in this environment: take one with TensorFlow 2.21")
keras2.keras = keras
from benchmarks.keras_twins import make_step  # noqa: E402, F401, it reads keras2
