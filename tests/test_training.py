"""`train_step` on one and two replicas, the optimizer, the learning rate."""

import json

import numpy as np
import pytest
import tensorflow as tf
from small_model import SIZE, VIDEOS, batches, make_model

from vie_tf import device
from vie_tf.data.augmentation import ColourNoise, colour_noise
from vie_tf.evaluation.taps import find_taps
from vie_tf.keras2 import keras
from vie_tf.models import families
from vie_tf.objectives.clustering import k_means
from vie_tf.objectives.instance_recognition import softmax_loss
from vie_tf.objectives.memory_bank import MemoryBank
from vie_tf.objectives.pretext import PRETEXTS
from vie_tf.objectives.supervised_model import Supervised
from vie_tf.objectives.vie_model import VIE
from vie_tf.runs.checkpoints import Checkpoints
from vie_tf.training.learning_rate import PiecewiseRate, Plateau
from vie_tf.training.linear_classifiers import ReadOut
from vie_tf.training.optimizer import Momentum


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("noise_samples, aggregates", [(0, False), (64, False), (0, True)])
def test_two_replicas_take_the_steps_of_one(replicas, noise_samples, aggregates, sharded):
    """The same weights and the same bank, on both replicas, after every step."""
    if sharded and not (noise_samples or aggregates):
        pytest.skip("the exact softmax takes the bank as a whole")
    alone = make_model(noise_samples, aggregates=aggregates)
    with replicas.scope():
        shared = make_model(noise_samples, aggregates=aggregates, sharded=sharded)
    np.testing.assert_array_equal(alone.bank.whole(), shared.bank.whole())
    for step in range(3):
        one = batches(3).skip(step).take(1)
        first = alone.fit(one, verbose=0)
        second = shared.fit(one, verbose=0)
        np.testing.assert_allclose(first.history["loss"], second.history["loss"], rtol=1e-4)
        for ours, theirs in zip(alone.network.weights, shared.network.weights):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
        for name in ("labels", "visited") if sharded else ("rows", "labels", "visited"):
            copies = [
                x.numpy() for x in replicas.experimental_local_results(getattr(shared.bank, name))
            ]
            np.testing.assert_array_equal(copies[0], copies[1])
        np.testing.assert_allclose(alone.bank.whole(), shared.bank.whole(), rtol=1e-3, atol=1e-5)
        np.testing.assert_array_equal(alone.bank.labels, shared.bank.labels)
        np.testing.assert_array_equal(alone.bank.visited, shared.bank.visited)
    assert shared.bank.visited.numpy().any()


def test_a_sharded_bank_is_saved_and_clustered(replicas, tmp_path):
    """Each replica holds half; a checkpoint holds both, and k-means takes them together."""
    with replicas.scope():
        model = make_model(16, sharded=True)
        model.fit(batches(1), verbose=0)
        whole = model.bank.whole()
        saved = Checkpoints(tmp_path, model, keep=1)
        saved.save()
        again = make_model(16, sharded=True)
        for part in again.bank.parts:
            part.assign(tf.zeros_like(part))
        assert Checkpoints(tmp_path, again, keep=1).restore() == 1
    np.testing.assert_array_equal(again.bank.whole(), whole)
    assert [part.shape[0] for part in again.bank.parts] == [VIDEOS // 2] * 2
    parts, numbers = again.bank.snapshot()
    visited = np.flatnonzero(again.bank.visited)
    assert sorted(np.concatenate(numbers)) == visited.tolist() and len(visited) == 8
    found = k_means(parts, 3, seed=1)
    rows = np.concatenate([part.numpy() for part in parts])
    np.testing.assert_array_equal(rows, whole[np.concatenate(numbers)])
    np.testing.assert_array_equal(found.labels, k_means([tf.constant(rows)], 3, seed=1).labels)


def test_batch_normalisation_on_two_replicas(replicas):
    """Each replica normalises by its half of the batch; the moving statistics are their mean."""
    with replicas.scope():
        network = families.build("single", image_size=SIZE, bn_momentum=0.5)
        shared = VIE(network, MemoryBank(VIDEOS, seed=5), noise_samples=0, temperature=0.1)
        shared.compile(Momentum(0.1))
    alone = families.build("single", image_size=SIZE, bn_momentum=0.5)
    start = network.get_weights()
    batch = next(iter(batches(1)))
    bank = shared.bank.rows.numpy()
    losses, statistics = [], []
    for half in (slice(0, 4), slice(4, 8)):
        alone.set_weights(start)
        clip = colour_noise(batch["clip"][half], batch["seed"][half], ColourNoise())
        similarities = alone(clip, training=True)["embedding"].numpy() @ bank.T
        losses.append(softmax_loss(similarities, batch["index"][half], 0.1))
        statistics.append([weight.numpy() for weight in alone.non_trainable_weights])
    loss = shared.fit(batches(1), verbose=0).history["loss"][0]
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-4)
    for weight, one, other in zip(network.non_trainable_weights, *statistics):
        np.testing.assert_allclose(weight, (one + other) / 2, rtol=1e-3, atol=1e-4)


def assert_same_steps(one, other, places=3e-4):
    for step in range(2):
        data = batches(2).skip(step).take(1)
        first, second = (model.fit(data, verbose=0).history["loss"] for model in (one, other))
        np.testing.assert_allclose(first, second, rtol=places)
    for ours, theirs in zip(one.network.weights, other.network.weights):
        np.testing.assert_allclose(ours, theirs, rtol=places, atol=places)
    np.testing.assert_allclose(one.bank.whole(), other.bank.whole(), rtol=places, atol=places)


@pytest.mark.parametrize("noise_samples, aggregates", [(64, False), (0, True)])
def test_the_steps_of_a_gpu_are_those_of_a_processor(noise_samples, aggregates, monkeypatch):
    """Network, gradient and update compiled, under the strategy of one device."""
    plain = make_model(noise_samples, aggregates=aggregates)
    taken = [plain.fit(batches(2), verbose=0).history["loss"]]
    monkeypatch.setattr(device, "on_gpu", lambda: True)
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        gpu = make_model(noise_samples, aggregates=aggregates)
    taken.append(gpu.fit(batches(2), verbose=0).history["loss"])
    np.testing.assert_allclose(*taken, rtol=1e-3)
    for ours, theirs in zip(plain.network.weights, gpu.network.weights):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(plain.bank.whole(), gpu.bank.whole(), rtol=1e-3, atol=1e-4)


def test_what_compile_says_is_compiled(monkeypatch):
    asked, compiled = [], device.compiled
    monkeypatch.setattr(
        device, "compiled", lambda call, wanted=None: asked.append(wanted) or compiled(call, wanted)
    )
    plain, chosen = make_model(64), make_model(64)
    chosen.compile(Momentum(0.1), jit_compile=True)
    assert_same_steps(plain, chosen, 1e-3)
    assert True in asked


def test_the_network_is_compiled_once(replicas, as_on_gpu):
    """For each replica, also where Local Aggregation follows Instance Recognition."""
    with replicas.scope():
        model = make_model(64)
    model.fit(batches(1), verbose=0)
    model.clusters.labels.assign(np.arange(VIDEOS)[:, None] % 4)
    model.aggregate()
    model.fit(batches(1), verbose=0)
    assert [f.experimental_get_tracing_count() for f in model.forward.made.values()] == [1, 1]


def test_no_gradient_is_computed_for_the_pixels(body):
    model = make_model(64)
    clip = tf.cast(next(iter(batches(1)))["clip"], tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(clip)
        embeddings = model.forward(clip)
    assert tape.gradient(embeddings, clip) is None
    assert tape.gradient(embeddings, model.network.trainable_weights[0]) is not None


def small_classifier(frames=1, classes=5):
    clip = keras.Input((frames, SIZE, SIZE, 3), dtype="float32")
    x = keras.layers.Conv2D(8, 5, 4, activation="relu", dtype="float32")(clip[:, 0] / 255.0)
    x = keras.layers.BatchNormalization(momentum=0.5, dtype="float32", name="bn")(x)
    x = keras.layers.GlobalAveragePooling2D(dtype="float32")(x)
    return keras.Model(clip, {"logits": keras.layers.Dense(classes, dtype="float32")(x), "bn": x})


def classifies(task):
    """A model that learns labels, or a task, or read-outs of a network."""
    keras.utils.set_random_seed(1)
    if task == "read-outs":
        network = small_classifier()
        return ReadOut(network, find_taps(network, ["bn"], 18), 5, colour=ColourNoise(blur=0.5))
    network = small_classifier(classes=4 if task else 5)
    return Supervised(network, ColourNoise(blur=0.5), PRETEXTS.get(task))


@pytest.mark.parametrize("task", ["", "rotation", "read-outs"])
def test_what_learns_labels_learns_the_same_on_a_gpu(task, monkeypatch):
    plain, losses = classifies(task), []
    gpu = classifies(task)
    for model, on_gpu in ((plain, False), (gpu, True)):
        monkeypatch.setattr(device, "on_gpu", lambda on_gpu=on_gpu: on_gpu)
        model.compile(Momentum(0.1, l2=0.1))
        losses.append(model.fit(batches(3), verbose=0).history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-3)
    for ours, theirs in zip(plain.network.weights, gpu.network.weights):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("task", ["", "rotation"])
def test_pixels_reach_the_network_unrounded(task):
    """Also in bfloat16, whose steps are a whole grey level at 255: layers cast for themselves."""
    device.set_precision("bfloat16")
    model, batch = classifies(task), next(iter(batches(1)))
    model.compile(Momentum(0.1))
    clip, labels = colour_noise(batch["clip"], batch["seed"], model.colour), batch["label"]
    if task:
        clip, labels = PRETEXTS[task].shown(clip), np.tile(range(4), 8)
    logits = model.network(clip, training=True)["logits"]
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits).numpy().mean()
    np.testing.assert_allclose(model.take_step(batch)["loss"], expected, rtol=1e-6)


def test_two_compiled_replicas_take_the_steps_of_one(replicas, as_on_gpu):
    alone = make_model(64)
    with replicas.scope():
        shared = make_model(64)
    assert_same_steps(alone, shared, 1e-3)


def test_two_compiled_replicas_normalise_as_plain_ones(replicas, monkeypatch):
    """Also what they keep for inference, the mean of both."""
    found = []
    for on_gpu in (False, True):
        monkeypatch.setattr(device, "on_gpu", lambda on_gpu=on_gpu: on_gpu)
        with replicas.scope():
            model = classifies("")
            model.compile(Momentum(0.1))
        model.fit(batches(2), verbose=0)
        found.append(model.network.get_weights())
    for plain, compiled in zip(*found):
        np.testing.assert_allclose(plain, compiled, rtol=1e-3, atol=1e-4)


def test_uneven_batches_work_on_two_replicas(replicas, body):
    with replicas.scope():
        model = make_model(noise_samples=16)
    model.fit(batches(1, size=7), verbose=0)
    assert model.bank.visited.numpy().sum() == 7


def test_loss_is_read_before_the_bank_is_written():
    model = make_model()
    batch = next(iter(batches(1)))
    rows = model.bank.rows.numpy()
    embedding = model.network(
        colour_noise(batch["clip"], batch["seed"], ColourNoise()), training=True
    )["embedding"].numpy()
    logits = embedding @ rows.T / 0.1
    own = logits[np.arange(8), batch["index"]]
    expected = np.mean(np.log(np.exp(logits).sum(1)) - own)
    np.testing.assert_allclose(model.take_step(batch)["loss"], expected, rtol=1e-4)
    mixed = rows[batch["index"]] + embedding
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    np.testing.assert_allclose(model.bank.rows.numpy()[batch["index"]], mixed, rtol=1e-3, atol=1e-5)


def test_l2_penalty_is_in_the_momentum_and_spares_batch_normalisation():
    network = keras.Sequential([keras.layers.BatchNormalization(), keras.layers.Dense(3)])
    network.build((None, 4))
    weights = network.trainable_weights
    before = [w.numpy() for w in weights]
    optimizer = Momentum(0.1, 0.9, l2=0.5)
    for _ in range(2):
        optimizer.apply_gradients([(tf.ones_like(w), w) for w in weights])
    for weight, start in zip(weights, before):
        l2 = 0.0 if "gamma" in weight.name or "beta" in weight.name else 0.5
        accumulator, expected = 0.0, start
        for _ in range(2):
            accumulator = 0.9 * accumulator + 1.0 + l2 * expected
            expected = expected - 0.1 * accumulator
        np.testing.assert_allclose(weight, expected, rtol=1e-5, err_msg=weight.name)


def test_momentum_keeps_gradients_and_not_steps():
    """After a drop of the rate the whole step is smaller at once."""
    optimizer = Momentum(PiecewiseRate(0.1, [0]), 0.9)
    weight = tf.Variable([1.0])
    accumulator, expected = 0.0, 1.0
    for step, rate in enumerate([0.1, 0.01, 0.01]):
        optimizer.apply_gradients([(tf.constant([2.0]), weight)])
        accumulator = 0.9 * accumulator + 2.0
        expected -= rate * accumulator
        np.testing.assert_allclose(weight, [expected], rtol=1e-5, err_msg=str(step))


def test_learning_rate_drops_on_a_plateau_twice_at_most():
    plateau = Plateau(patience=2)
    rate, seen = PiecewiseRate(1.0, [100], plateau=plateau), []
    for value in (0.1, 0.3, 0.2, 0.3, 0.4, 0.1, 0.1, 0.1, 0.1):
        plateau.see(value)
        seen.append(float(rate(50)))
    expected = [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01]
    np.testing.assert_allclose(seen, expected, rtol=1e-5)
    np.testing.assert_allclose(float(rate(101)), 0.001, rtol=1e-5)
    again = PiecewiseRate.from_config(json.loads(json.dumps(rate.get_config())))
    np.testing.assert_allclose(float(again(101)), 0.001, rtol=1e-5)
