"""The fine-tuned network: its head and its step, in numbers."""

import numpy as np
import pytest
import tensorflow as tf

from vie_tf.data.augmentation import NO_NOISE
from vie_tf.errors import InputError
from vie_tf.keras2 import keras
from vie_tf.models import families
from vie_tf.objectives.supervised_model import Supervised
from vie_tf.training.optimizer import Momentum

pytestmark = pytest.mark.usefixtures("real_networks")


def copy_of(network, num_classes):
    twin = families.build_finetuned("single", 32, num_classes=num_classes)
    twin.set_weights(network.get_weights())
    return twin


def cross_entropy(features, kernel, bias, labels):
    """Loss, and its gradient with respect to kernel and bias, in NumPy."""
    scores = features @ kernel + bias
    scores -= scores.max(axis=1, keepdims=True)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    own = np.arange(len(labels)), labels
    loss, error = -np.log(p[own]).mean(), p.copy()
    error[own] -= 1
    return loss, features.T @ error / len(labels), error.sum(axis=0) / len(labels)


@pytest.mark.parametrize("legacy", [False, True])
def test_the_step_is_that_of_plain_keras(legacy):
    """Two steps: cross-entropy, batch normalisation in training mode, and the penalty's set."""
    keras.utils.set_random_seed(0)
    network = families.build_finetuned("single", 32, num_classes=3)
    twin = copy_of(network, 3)
    model = Supervised(network, NO_NOISE)
    model.compile(Momentum(0.1, l2=0.02, l2_layer="logits" if legacy else ""))
    plain = keras.optimizers.SGD(0.1, momentum=0.9)
    rng = np.random.default_rng(0)
    for _ in range(2):
        clip = rng.integers(0, 256, (6, 1, 32, 32, 3)).astype("uint8")
        labels = rng.integers(3, size=6)
        with tf.GradientTape() as tape:
            out = twin(tf.cast(clip, tf.float32), training=True)
            loss = keras.losses.SparseCategoricalCrossentropy(True)(labels, out["logits"])
            penalised = [
                layer.weights
                for layer in twin.layers
                if layer.name == "logits"
                or not (legacy or isinstance(layer, keras.layers.BatchNormalization))
            ]
            penalty = sum(tf.nn.l2_loss(weight) for group in penalised for weight in group)
            whole = loss + 0.02 * penalty
        # The head's part by hand, of the pooled last tap.
        features = out["encode_10"].numpy().mean(axis=(1, 2))
        kernel, bias = (weight.numpy() for weight in twin.get_layer("logits").weights)
        by_hand = cross_entropy(features, kernel, bias, labels)
        weights = twin.trainable_weights
        gradients = tape.gradient(whole, weights)
        of_head = gradients[-2] - 0.02 * kernel, gradients[-1] - 0.02 * bias
        np.testing.assert_allclose(by_hand[0], loss, rtol=1e-5)
        for ours, theirs in zip(by_hand[1:], of_head):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)
        plain.apply_gradients(zip(gradients, weights))
        batch = {"clip": clip, "label": labels, "seed": np.zeros((6, 2), "int32")}
        logs = model.take_step({name: tf.constant(value) for name, value in batch.items()})
        np.testing.assert_allclose(logs["loss"], loss, rtol=1e-4)
        for ours, theirs in zip(network.weights, twin.weights):
            np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4, err_msg=ours.name)


@pytest.mark.parametrize(
    "family, width",
    [
        ("single", 512),
        ("slowfast", 704),
        ("trn", 512),
        ("single+slowfast", 1152),
        pytest.param("resnet3d", 512, marks=pytest.mark.slow),
        pytest.param("relation", 512, marks=pytest.mark.slow),
        pytest.param("single+slow", 1024, marks=pytest.mark.slow),
    ],
)
def test_the_head_is_on_the_pooled_last_tap(family, width):
    network = families.build_finetuned(family, 32, num_classes=50)
    kernel, bias = network.get_layer("logits").weights
    assert kernel.shape == (width, 50) and not bias.numpy().any()
    limit = 2 * np.sqrt(2.6 / width)  # two standard deviations; of what is left, 0.774 of them
    assert 0.95 * limit < np.abs(kernel).max() <= limit
    np.testing.assert_allclose(np.var(kernel), 0.774 * 2.6 / width, rtol=0.03)
    clip = np.random.default_rng(0).integers(0, 256, (2, *network.input.shape[1:])).astype("f4")
    with tf.GradientTape() as tape:
        out = network(clip)
        score = tf.reduce_sum(out["logits"] ** 2)
    taps = [out[name] for name in ("encode_11", "encode_10") if name in out][:1]
    taps += [out["fast_encode_10"]] if family == "slowfast" else []
    pooled = [np.mean(tap, axis=tuple(range(1, len(tap.shape) - 1))) for tap in taps]
    np.testing.assert_allclose(
        out["logits"], np.concatenate(pooled, 1) @ kernel, rtol=1e-3, atol=1e-4
    )
    assert all(g is not None for g in tape.gradient(score, network.trainable_weights))


def test_two_streams_are_not_pretrained():
    with pytest.raises(InputError, match="--mode=finetune takes both"):
        families.build("single+slow", 32)
