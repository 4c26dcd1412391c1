"""The twins of keras_twins.py in Keras 3, which TensorFlow 2.21 comes with."""

from __future__ import annotations

import keras

from vie_tf import keras2

keras2.keras = keras
from benchmarks.keras_twins import make_step  # noqa: E402, F401, it reads keras2
