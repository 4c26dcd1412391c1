"""Features as the authors' transfer heads receive them, and the models of two streams."""

import functools
from unittest import mock

import golden_rule
import numpy as np
import pytest
import tensorflow as tf
import tf1
from tf1 import NETWORKS, network

from vie_tf.evaluation import taps
from vie_tf.models import families
from vie_tf.models.input_single import input_single
from vie_tf.models.original import original_names
from vie_tf.models.two_stream import two_stream

pytestmark = pytest.mark.usefixtures("real_networks")

VARIABLES = golden_rule.load("variables")[0]
FACTS, ARRAYS = golden_rule.load("readouts")
TWO_STREAM = ("slowsingle", "slowsingle_avg", "slowfastsingle", "slowfastsingle_avg")


@functools.cache
def model(name: str):
    if name in NETWORKS:
        return network(name)
    single, motion = network("single_frame"), network("slowfast_a4" if "fast" in name else "slow")
    if name.endswith("_avg"):
        return two_stream(single, motion)
    # The authors' other choice, for images made into clips: Single sees the first frame only.
    with mock.patch("vie_tf.models.two_stream.input_single", first_frame):
        return two_stream(single, motion)


def first_frame(single, frames):
    return lambda clip: single(clip[:, :1])


def pooled_by_3(maps):
    """The authors' third pooling, which no read-out of ours has; channels first."""
    pooled = tf.transpose(tf.nn.avg_pool2d(maps, 3, 3, "SAME"), [0, 3, 1, 2])
    return tf.reshape(pooled, [len(maps), -1])


def ours(mode: str, key: str, network, outputs: dict) -> tf.Tensor:
    """The features of a read-out from a network's outputs."""
    if mode in ("pool1", "flat"):
        pool = taps.mean if mode == "pool1" else taps.flat
        # The authors put the Fast path first here, unlike in the embedding.
        paths = [k for k in ("fast_encode_10", "encode_10") if k in outputs]
        return tf.concat([pool(outputs[k]) for k in paths], axis=1)
    if mode == "pool3":
        return pooled_by_3(outputs["encode_10"])
    position, *average = key.split("-", 1)
    pooled = mode == "singlepool" or average == ["avg"]
    tap = f"encode_{int(position) + 1}{taps.AVERAGED if pooled else ''}"
    return taps.find_taps(network, [tap], 18)(outputs)[tap]


@pytest.mark.parametrize("facts", FACTS, ids=lambda facts: f"{facts['id']}-{facts['family']}")
def test_matches_the_authors(facts):
    name = facts["family"]
    tf1.by_rule(model(name), golden_rule.set_seed())
    if name in NETWORKS:
        tf1.draw(model(name), facts)
    outputs = model(name)(tf1.clips(facts["input"], model(name).input.shape[1]))
    for key, expected in facts["outputs"].items():
        values = ours(facts["mode"], key, model(name), outputs).numpy()
        assert list(values.shape) == expected["shape"]
        sampled = np.stack([golden_rule.samples(row, 256) for row in values])
        tf1.close(sampled, ARRAYS[f"{facts['id']}/{key}"], 1e-4)
        np.testing.assert_allclose(values.mean(), expected["mean"], rtol=1e-4)


@pytest.mark.parametrize("name", TWO_STREAM)
def test_two_streams_have_the_authors_variables(name):
    facts = VARIABLES[name]
    facts = VARIABLES[facts.get("same_variables_as", name)]
    names = original_names(model(name))
    assert names.keys() == {n for n, *_ in facts["variables"]}
    assert sum(np.prod(w.shape) for w in model(name).trainable_weights) == sum(
        np.prod(v.shape) for v in names.values() if v.trainable
    )
    assert facts["trainable_param_count"] == sum(
        np.prod(w.shape) for w in model(name).trainable_weights
    )


def test_two_streams_embed_on_the_sphere_from_both():
    clip = golden_rule.clip("blocks", (2, 4, 64, 64, 3), 5)
    single, slow = families.build("single"), families.build("slow")
    both = two_stream(single, slow)(clip)["embedding"].numpy()
    parts = [input_single(single, 4)(clip), slow(clip)]
    expected = np.concatenate([part["embedding"] for part in parts], axis=1) / np.sqrt(2)
    np.testing.assert_allclose(both, expected, atol=1e-6)


@pytest.mark.parametrize("head", [{}, {"num_classes": 5}])
def test_input_single_averages_its_frames(head):
    single = families.build("single", image_size=32, **head)
    clip = golden_rule.clip("blocks", (2, 3, 32, 32, 3), 5)
    averaged = input_single(single, 3)(clip)
    assert averaged.keys() == single.output.keys()
    frames = [single(clip[:, i : i + 1]) for i in range(3)]
    for name, value in averaged.items():
        if name != "embedding":
            mean = np.mean([frame[name] for frame in frames], axis=0)
            np.testing.assert_allclose(value, mean, rtol=1e-4, atol=1e-4)
    raw = np.asarray(averaged["encode_10"]).mean((1, 2))
    if not head:
        kernel, bias = single.get_layer("embedding_raw").get_weights()
        raw = raw @ kernel + bias
    expected = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(averaged["embedding"], expected, atol=1e-5)


def test_large_maps_are_pooled():
    tap = tf.random.stateless_normal([1, 2, 8, 8, 3], [1, 2])
    assert taps.flat(tap, 192).shape == (1, 192)
    assert taps.flat(tap, 191).shape == (1, 48)
    assert taps.flat(tap, 47).shape == (1, 12)
    mean = tf.reduce_mean(tap[:, :, :2, :2], (1, 2, 3))
    np.testing.assert_allclose(taps.flat(tap, 191)[:, :3], mean, rtol=1e-5)


@pytest.mark.parametrize(
    "depth, wanted", [(18, [2, 4, 6, 8, 10]), (34, [2, 5, 9, 15, 18]), (50, [2, 5, 9, 15, 18])]
)
def test_the_papers_names_are_the_ends_of_stages(depth, wanted):
    """The authors' indices are 1, 3, 5, 7, 9, and 1, 4, 8, 14, 17 of the deeper networks."""
    network = families.build("single", image_size=32, depth=depth)
    names = [f"conv{i}" for i in range(1, 6)]
    found = taps.find_taps(network, [*names, "embedding"], depth)
    assert [found.outputs[name] for name in names] == [f"encode_{i}" for i in wanted]
    clip = golden_rule.clip("blocks", (2, 1, 32, 32, 3), 5)
    assert found(network(clip))["embedding"].shape == (2, 128)
