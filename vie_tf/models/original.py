"""Maps variables of the authors' TensorFlow 1 checkpoints to ours."""

from __future__ import annotations

import itertools

import tensorflow as tf

from vie_tf.keras2 import keras

STATISTICS = ("gamma", "beta", "moving_mean", "moving_variance")


def original_names(network: keras.Model) -> dict[str, tf.Variable]:
    """Returns the network's variables by their names in the authors' checkpoints.

    TF1 numbers the layers of a scope in order of creation, separately for each kind. Axes are in
    the same order as ours. A 3D kernel over one frame, [1, h, w, in, out] in TF1, is
    [h, w, in, out] here; everything else has the same shape.

    Args:
        network: from `families.build`, `two_stream.two_stream` or `input_single.input_single`.

    Returns:
        TF1 name (no `:0`) to variable: all weights and moving statistics of the network, none of
        the bank and the optimizer.
    """
    parts = [model for model in (network, *network.submodules) if isinstance(model, keras.Model)]
    parts = [part for part in parts if not any(isinstance(x, keras.Model) for x in part.layers)]
    names = {}
    for part in parts:
        single = part.name == "single" or len(parts) == 1
        names |= _names(part, "resnet_model" if single else "resnet_model_slow")
    return names


def _names(network: keras.Model, scope: str) -> dict[str, tf.Variable]:
    layers = {layer.name: layer for layer in network.layers}
    # If any kernel spans time, all of them are 3D in TF1.
    over_time = any(isinstance(layer, keras.layers.Conv3D) for layer in network.layers)
    kind = "conv3d" if over_time else "conv2d"
    names = {}
    if "fast_stem" in layers:
        names |= _path(layers, "fast_", "resnet_model_fast", kind, laterals=False)
        scope = "resnet_model_slow"
    names |= _path(layers, "slow_" if names else "", scope, kind, laterals=bool(names))
    for name, layer in layers.items():
        if isinstance(layer, keras.layers.Dense):
            ours = name if name.startswith("relation") else "dense"
            names[f"{scope}/{ours}/kernel"], names[f"{scope}/{ours}/bias"] = layer.weights
    return names


def _path(layers: dict, prefix: str, scope: str, kind: str, laterals: bool) -> dict:
    """One residual network; `laterals`: whether the lateral convolutions are in its scope."""
    convs, norms, stage = [f"{prefix}stem"], [], 0
    for block in itertools.count(1):
        name = f"{prefix}block{block}"
        if name not in layers:
            break
        if f"{name}_projection" in layers:  # a stage begins
            stage += 1
            convs += [f"lateral{stage}"] * laterals + [f"{name}_projection"]
        for i in itertools.count(1):
            if f"{name}_conv{i}" not in layers:
                break
            convs.append(f"{name}_conv{i}")
            norms.append(f"{name}_bn{i}")
    convs += [f"lateral{stage + 1}"] * laterals
    norms.append(f"{prefix}final_bn")
    names = {f"{_numbered(scope, kind, k)}/kernel": layers[n].kernel for k, n in enumerate(convs)}
    for k, name in enumerate(norms):
        for statistic in STATISTICS:
            variable = getattr(layers[name], statistic)
            names[f"{_numbered(scope, 'batch_normalization', k)}/{statistic}"] = variable
    return names


def _numbered(scope: str, kind: str, k: int) -> str:
    return f"{scope}/{kind}" + (f"_{k}" if k else "")
