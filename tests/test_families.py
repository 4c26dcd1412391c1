"""Every family against the authors' numbers: every tap, inference and training mode, odd sizes."""

import math
from pathlib import Path

import golden_rule
import numpy as np
import pytest
import tensorflow as tf
import tf1
from tf1 import NETWORKS, network

from vie_tf.errors import InputError
from vie_tf.keras2 import keras
from vie_tf.models import families, layers, resnet
from vie_tf.models.original import original_names

pytestmark = pytest.mark.usefixtures("real_networks")

VARIABLES = golden_rule.load("variables")[0]
CASES = [
    (name, case)
    for name in NETWORKS
    for case, facts in golden_rule.load(f"model_{name}")[0].items()
    if isinstance(facts, dict) and "encode" in facts
]


def probe(name: str) -> keras.Model:
    """The network with what it does not return: the raw embedding and the Fast path's taps."""
    whole = network(name)
    outputs = {**whole.output, "raw": whole.get_layer("embedding_raw").output}
    if name == "slowfast_a4":
        layers = ["stem_pool", *(f"block{i}_bn1_relu" for i in range(1, 9)), "final_bn_relu"]
        for i, layer in enumerate(layers):
            maps = whole.get_layer(f"fast_{layer}").output
            outputs[f"resnet_model_fast:encode_{i + 1}"] = tf.reshape(
                maps, tf.concat([[-1, 16], tf.shape(maps)[1:]], 0)
            )
    return keras.Model(whole.input, outputs)


def as_the_authors(tap: np.ndarray, shape: list[int]) -> np.ndarray:
    """A tap in the order of axes and with the batch axis that the authors' has."""
    if tap.ndim == 5 and len(shape) == 4:  # they keep frames in the batch
        tap = tap[:, 0] if shape[0] == len(tap) else tap.reshape(-1, *tap.shape[2:])
    return np.moveaxis(tap, -1, 1)


@pytest.mark.parametrize("name, case", CASES)
def test_matches_the_authors(name, case):
    facts, arrays = golden_rule.load(f"model_{name}")
    facts, arrays = facts[case], {k[len(case) + 1 :]: v for k, v in arrays.items() if case in k}
    names = tf1.by_rule(network(name), golden_rule.set_seed())
    tf1.draw(network(name), facts)
    share = 5e-4 if facts["train"] else 1e-4
    clip = tf1.clips(facts["input"], network(name).input.shape[1])
    outputs = {k: v.numpy() for k, v in probe(name)(clip, training=facts["train"]).items()}
    tf1.close(outputs["raw"], arrays["raw"], share)
    tf1.close(outputs["embedding"], arrays["emb"], share)
    for tap, expected in facts["encode"].items():
        ours = as_the_authors(outputs[tap], expected["shape"])
        assert list(ours.shape) == expected["shape"]
        largest = max(abs(expected["max"]), abs(expected["min"]))
        np.testing.assert_allclose(
            golden_rule.samples(ours), expected["samples"], rtol=0, atol=share * largest
        )
        means = ours.mean(tuple(range(2, ours.ndim)))
        tf1.close(means[:4], arrays[f"gap/{tap}"], share)
    after = {k: statistic(k, names[k], facts, clip.shape[1]) for k in facts.get("bn_after", {})}
    for key, values in after.items():
        expected = facts["bn_after"][key]
        np.testing.assert_allclose(np.linalg.norm(values), expected["l2"], rtol=1e-5)
        np.testing.assert_allclose(values.sum(), expected["sum"], rtol=1e-5, atol=1e-4)
        if f"bn/{key}" in arrays:
            tf1.close(values, arrays[f"bn/{key}"], 1e-5)
    assert facts["train"] == bool(after)


def statistic(name: str, variable: tf.Variable, facts: dict, frames: int) -> np.ndarray:
    """A moving statistic after the update, as the authors' would be.

    Their 2D networks estimate the moving variance without bias, sum / (n - 1), as ours all do; on
    maps with a time axis theirs takes sum / n.
    """
    values = variable.numpy().astype(np.float64)
    if not name.endswith("moving_variance"):
        return values
    # With two layers a block, layer k sees maps of the size of this tap.
    k = int((name.split("/")[1].split("_") + ["0"])[2])
    path = "resnet_model_fast:" if name.startswith("resnet_model_fast") else ""
    taps = [tap for tap in facts["encode"] if tap.startswith(path + "encode")]
    if len(taps) > 11:
        return values  # deeper networks are 2D in the fixtures
    shape = facts["encode"][f"{path}encode_{math.ceil(k / 2) + 2}"]["shape"]
    n = math.prod(shape) / shape[1]
    if len(shape) == 5:
        theirs, ours = 1, n / (n - 1)
    elif frames > 1 and len(facts["input"]["shape"]) == 4:  # we have repeated the frame
        theirs, ours = n / (n - 1), frames * n / (frames * n - 1)
    else:
        return values
    kept = 0.997 * golden_rule.variable(name, values.shape, golden_rule.set_seed())
    return kept + (values - kept) * theirs / ours


def test_cases_cover_both_modes_and_several_sizes():
    assert len(CASES) == sum(
        isinstance(facts, dict) and "encode" in facts
        for path in golden_rule.FOLDER.glob("model_*.json")
        for facts in golden_rule.load(path.stem)[0].values()
    )
    for name in NETWORKS:
        assert {(name, "small_eval"), (name, "small_train")} <= set(CASES)
    for name in ("single_frame", "3dresnet", "slowfast_a4"):
        assert {(name, "odd_eval"), (name, "full_eval")} <= set(CASES)


@pytest.mark.parametrize("size", [32, 37, 38])
@pytest.mark.parametrize("span", [1, 5, 7])
def test_a_stem_on_a_gpu_is_the_same_convolution(span, size, monkeypatch):
    clip = keras.Input((6, size, size, 3))
    values = np.random.default_rng(0).normal(size=(2, *clip.shape[1:])).astype("f")
    found = []
    for gpu in (False, True):
        monkeypatch.setattr(resnet.device, "on_gpu", lambda gpu=gpu: gpu)
        maps = resnet.stem(layers.FoldTime()(clip), 6, 8, span, "stem")
        network = keras.Model(clip, maps)
        kernel = network.trainable_weights[0]
        kernel.assign(np.random.default_rng(1).normal(size=kernel.shape))
        with tf.GradientTape() as tape:
            output = network(values)
            loss = tf.reduce_sum(output * np.arange(8))
        found.append((kernel.name, output, tape.gradient(loss, kernel)))
    (name, output, gradient), (name_gpu, output_gpu, gradient_gpu) = found
    assert name == name_gpu and output.shape[1] == -(-size // 2)
    np.testing.assert_allclose(output, output_gpu, rtol=0, atol=1e-3)
    np.testing.assert_allclose(gradient, gradient_gpu, rtol=0, atol=1e-5 * np.abs(gradient).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_variables_are_the_authors(name):
    facts = VARIABLES[name]
    while "variables" not in facts:
        facts = VARIABLES[facts["same_variables_as"]]
    shapes = {
        variable: shape
        for variable, shape, *_ in facts["variables"]
        if not variable.startswith(("instance/", "global_step"))
    }
    ours = {k: list(v.shape) for k, v in original_names(network(name)).items()}
    assert ours.keys() == shapes.keys()
    for variable, shape in shapes.items():
        shape = [int(n) for n in shape.split("x")]
        assert ours[variable] in (shape, shape[1:] if shape[0] == 1 else shape)
    count = sum(np.prod(w.shape) for w in network(name).trainable_weights)
    assert count == facts["trainable_param_count"]


@pytest.mark.parametrize("family", ["single", "resnet3d", "fast", "slowfast", "trn"])
def test_depth_50_classifier_of_every_family(family):
    frames = min(4, families.FAMILIES[family].sampling.frames)
    model = families.build(family, image_size=32, depth=50, num_classes=7, frames=frames)
    outputs = model(golden_rule.clip("blocks", (2, frames, 32, 32, 3), 1))
    assert outputs["logits"].shape == (2, 7)
    np.testing.assert_allclose(np.linalg.norm(outputs["embedding"], axis=1), 1, atol=1e-5)
    assert outputs["encode_18"].shape[-1] == {"fast": 256, "slowfast": 2560}.get(family, 2048)
    assert np.isfinite(outputs["logits"]).all()


@pytest.mark.parametrize("kernel", [3, 5])
def test_bfloat16_gradient_of_few_frames(kernel):
    clip = tf.random.stateless_normal([8, 4, 4, 16], [1, 2])  # 4 clips of 2 frames
    gradients = {}
    for policy in ("float32", "mixed_bfloat16"):
        keras.mixed_precision.set_global_policy(policy)
        maps = keras.Input((4, 4, 16))
        model = keras.Model(maps, resnet.conv(maps, 2, 16, (kernel, 3), (1, 1), "conv"))
        keras.mixed_precision.set_global_policy("float32")
        model.set_weights([tf.random.stateless_normal(w.shape, [3, 4]) for w in model.weights])
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(model(clip), tf.float32) ** 2)
        gradients[policy] = tape.gradient(loss, model.weights[0])
    tf1.close(gradients["mixed_bfloat16"], gradients["float32"], 0.02)


@pytest.mark.slow
def test_documented_table_is_what_is_printed():
    """All parameters; multiply-adds of two families, as each takes seconds."""
    text = (Path(__file__).parent.parent / "docs" / "families.md").read_text()
    table = [line.split(" | ") for line in text.splitlines() if " G | " in line]
    documented = {row[0].strip("|` "): row[1] for row in table}
    pairs = [name for name in documented if name.startswith("two-stream")]
    assert list(documented) == [*families.FAMILIES, *pairs]
    built = {NETWORKS[name]["family"]: network(name) for name in NETWORKS if "_r" not in name}
    built["relation_mean"] = built["relation"]
    built.update(opn=built["trn"], rotnet3d=built["resnet3d"])  # on other frames
    counts = {name: families.parameters(model) for name, model in built.items()}
    for name in ("slow", "slowfast"):
        counts[f"two-stream of `single` and `{name}"] = counts["single"] + counts[name]
    assert documented == {name: f"{count:,}" for name, count in counts.items()}
    for name in ("single", "resnet3d"):
        kind = families.family_of(name)
        row = families.row(f"`{name}`", families.build(name, kind.image_size), kind)
        assert row in text.splitlines()


def test_embedding_has_unit_norm_and_float_and_bytes_agree():
    clip = golden_rule.clip("noise", (2, 1, 64, 64, 3), 1)
    embedding = network("single_frame")(clip)["embedding"].numpy()
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-6)
    again = network("single_frame")(clip.astype("float32"))["embedding"]
    np.testing.assert_array_equal(embedding, again)


def test_relation_draws_subsets_in_training_only():
    model = families.build("relation", image_size=32)
    layer = model.get_layer("relation_4_subsets")
    test = [layer.rows(training=False) for _ in range(2)]
    np.testing.assert_array_equal(*test)
    assert len(set(test[0])) == 8 and test[0][0] == 0 and test[0][-1] == math.comb(8, 4) - 1
    drawn = [layer.rows(training=True).numpy() for _ in range(4)]
    assert len({tuple(rows) for rows in drawn}) == 4
    layer.steps.assign(0)
    np.testing.assert_array_equal(layer.rows(training=True), drawn[0])
    smallest = model.get_layer("relation_8_subsets")
    assert smallest.rows(training=True).numpy().tolist() == [0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"family": "singel"},
        {"family": "single", "image_size": 16},
        {"family": "single", "depth": 51},
        {"family": "single", "frames": 4},
        {"family": "relation", "frames": 1},
    ],
)
def test_bad_requests_are_refused(wrong):
    with pytest.raises(InputError, match="--family|--image_size|--depth"):
        families.build(**wrong)
