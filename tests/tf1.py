"""Networks with weights by the fixtures' rule, their inputs, and how close is close."""

from __future__ import annotations

import functools

import golden_rule
import numpy as np
import tensorflow as tf

from vie_tf.keras2 import keras
from vie_tf.models import families
from vie_tf.models.original import original_names

# The authors' name -> the arguments that build ours.
NETWORKS = {
    "single_frame": {"family": "single"},
    "single_frame_r34": {"family": "single", "depth": 34},
    "single_frame_r50": {"family": "single", "depth": 50},
    "3dresnet": {"family": "resnet3d"},
    "vanilla3D": {"family": "vanilla3d"},
    "slow": {"family": "slow"},
    "fast": {"family": "fast", "frames": 32},
    "fast_a4": {"family": "fast"},
    "slowfast_a4": {"family": "slowfast"},
    "tsrn_f4": {"family": "trn"},
    "tsrn_slow": {"family": "trn_slow"},
    "tsrn_slowfast_a4": {"family": "trn_slowfast"},
    "trn_f4": {"family": "relation4"},
    "trn_f4_mean": {"family": "relation4_mean"},
    "trn_f4_tile": {"family": "relation4"},  # one frame, repeated
    "trn_f8": {"family": "relation"},
}


@functools.lru_cache(maxsize=2)  # they are large
def network(name: str) -> keras.Model:
    return families.build(**NETWORKS[name])


def clips(shape_and_seed: dict, frames: int) -> tf.Tensor:
    clip = golden_rule.clip(**shape_and_seed)
    return tf.constant(clip if clip.ndim == 5 else clip[:, None].repeat(frames, axis=1))


def draw(network: keras.Model, facts: dict) -> None:
    """Lets a relation network take the fixture's subsets instead of its own."""
    frames = network.input.shape[1]
    for i, rows in enumerate(facts.get("trn_tuple_draws", [])):
        layer = network.get_layer(f"relation_{frames - i}_subsets")
        layer.rows = lambda training, rows=rows: rows


def assign_by_rule(network: keras.Model, seed: int) -> dict[str, object]:
    """Gives every variable its value by the rule; returns the variables by their TF1 names."""
    names = original_names(network)
    for name, variable in names.items():
        variable.assign(golden_rule.variable(name, tuple(variable.shape), seed))
    return names


@functools.lru_cache(maxsize=2)
def _by_rule(network: keras.Model, seed: int) -> dict[str, object]:
    return assign_by_rule(network, seed)


def by_rule(network: keras.Model, seed: int) -> dict[str, object]:
    """As `assign_by_rule`, of a network whose statistics alone may have changed since."""
    names = _by_rule(network, seed)
    for name, variable in names.items():
        if "/moving_" in name:
            variable.assign(golden_rule.variable(name, tuple(variable.shape), seed))
    return names


def close(ours, golden, share: float) -> None:
    """Asserts that no entry differs by more than `share` of the golden array's largest."""
    ours, golden = np.asarray(ours, np.float64), np.asarray(golden, np.float64)
    assert ours.shape == golden.shape
    np.testing.assert_allclose(ours, golden, rtol=0, atol=share * np.abs(golden).max())
