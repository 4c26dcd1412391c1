"""Which TF1 variable of the authors' single-frame network is which weight of ours."""

from __future__ import annotations

import golden_rule
import numpy as np
from tensorflow import keras

STATISTICS = ("gamma", "beta", "moving_mean", "moving_variance")


def single_frame_names(network: keras.Model) -> dict[str, object]:
    """TF1 name -> our variable; TF1 numbers layers in the order in which they are created."""

    def numbered(kind, k):
        return f"resnet_model/{kind}" + (f"_{k}" if k else "")

    layers = {layer.name: layer for layer in network.layers}
    blocks = sum(name.endswith("_conv1") for name in layers)
    convs, norms = ["stem"], []
    for block in range(1, blocks + 1):
        wanted = (f"block{block}_{part}" for part in ("projection", "conv1", "conv2"))
        convs += [name for name in wanted if name in layers]
        norms += [f"block{block}_bn1", f"block{block}_bn2"]
    names = {}
    for k, layer in enumerate(convs):
        names[f"{numbered('conv2d', k)}/kernel"] = layers[layer].kernel
    for k, layer in enumerate([*norms, "final_bn"]):
        for statistic in STATISTICS:
            name = f"{numbered('batch_normalization', k)}/{statistic}"
            names[name] = getattr(layers[layer], statistic)
    names["resnet_model/dense/kernel"] = layers["embedding_raw"].kernel
    names["resnet_model/dense/bias"] = layers["embedding_raw"].bias
    return names


def assign_by_rule(network: keras.Model, seed: int) -> dict[str, object]:
    names = single_frame_names(network)
    for name, variable in names.items():
        variable.assign(golden_rule.variable(name, tuple(variable.shape), seed))
    return names


def close(ours, golden, share: float) -> None:
    """Asserts that no entry differs by more than `share` of the golden array's largest."""
    ours, golden = np.asarray(ours, np.float64), np.asarray(golden, np.float64)
    assert ours.shape == golden.shape
    np.testing.assert_allclose(ours, golden, rtol=0, atol=share * np.abs(golden).max())
