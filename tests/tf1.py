"""Weights by the fixtures' rule, and how close is close."""

from __future__ import annotations

import golden_rule
import numpy as np
from tensorflow import keras

from vie_tf.models.original import original_names


def assign_by_rule(network: keras.Model, seed: int) -> dict[str, object]:
    """Gives every variable its value by the rule; returns the variables by their TF1 names."""
    names = original_names(network)
    for name, variable in names.items():
        variable.assign(golden_rule.variable(name, tuple(variable.shape), seed))
    return names


def close(ours, golden, share: float) -> None:
    """Asserts that no entry differs by more than `share` of the golden array's largest."""
    ours, golden = np.asarray(ours, np.float64), np.asarray(golden, np.float64)
    assert ours.shape == golden.shape
    np.testing.assert_allclose(ours, golden, rtol=0, atol=share * np.abs(golden).max())
