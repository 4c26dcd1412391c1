"""VIE-Single against the authors' numbers: every tap, inference and training mode, odd sizes."""

import golden_rule
import numpy as np
import pytest
import tensorflow as tf
import tf1

from vie_tf.errors import InputError
from vie_tf.models import families

FIXTURES = {
    depth: golden_rule.load(name)
    for depth, name in ((18, "model_single_frame"), (34, "model_single_frame_r34"))
}
CASES = [
    (depth, case)
    for depth, (facts, _) in FIXTURES.items()
    for case in facts
    if isinstance(facts[case], dict) and "encode" in facts[case]
]


@pytest.fixture(scope="module")
def networks():
    return {depth: families.build("single", image_size=None, depth=depth) for depth in FIXTURES}


@pytest.fixture
def network(networks):
    return networks[18]


@pytest.mark.parametrize("depth, case", CASES)
def test_matches_the_authors(networks, depth, case):
    network, arrays = networks[depth], FIXTURES[depth][1]
    names = tf1.assign_by_rule(network, golden_rule.set_seed())
    facts = FIXTURES[depth][0][case]
    training = "train" in case
    share = 5e-4 if training else 1e-4
    clip = tf.constant(golden_rule.clip(**facts["input"])[:, None])
    outputs = network(clip, training=training)
    tf1.close(outputs["embedding"], arrays[f"{case}/emb"], share)
    for tap, expected in facts["encode"].items():
        ours = np.moveaxis(outputs[tap].numpy(), -1, 1)
        assert list(ours.shape) == expected["shape"]
        largest = max(abs(expected["max"]), abs(expected["min"]))
        np.testing.assert_allclose(
            golden_rule.samples(ours), expected["samples"], rtol=0, atol=share * largest
        )
        tf1.close(ours.mean((2, 3)), arrays[f"{case}/gap/{tap}"], share)
    for name, golden in arrays.items():
        if name.startswith(f"{case}/bn/"):
            tf1.close(names[name.split("/bn/")[1]], golden, 1e-5)


def test_cases_cover_both_modes_and_several_sizes():
    assert {case for depth, case in CASES if depth == 18} >= {
        *("small_eval", "small_train", "full_eval", "odd_eval")
    }
    assert {case for depth, case in CASES if depth == 34} >= {"small_eval", "small_train"}


def test_parameter_count(network):
    variables = golden_rule.load("variables")[0]["single_frame"]
    count = sum(np.prod(w.shape) for w in network.trainable_weights)
    assert count == variables["trainable_param_count"] == 11_244_480


def test_embedding_has_unit_norm_and_float_and_bytes_agree(network):
    clip = golden_rule.clip("noise", (2, 1, 64, 64, 3), 1)
    embedding = network(clip)["embedding"].numpy()
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(embedding, network(clip.astype("float32"))["embedding"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"family": "singel"},
        {"family": "single", "image_size": 16},
        {"family": "single", "depth": 50},
    ],
)
def test_bad_requests_are_refused(wrong):
    with pytest.raises(InputError, match="--family|--image_size|--depth"):
        families.build(**wrong)
