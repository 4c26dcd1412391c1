"""Losses, gradients and the memory bank against the authors' numbers and first principles."""

import golden_rule
import numpy as np
import pytest
import tensorflow as tf
import tf1

from vie_tf.keras2 import keras
from vie_tf.objectives import instance_recognition, memory_bank
from vie_tf.objectives.clustering import Clusters
from vie_tf.objectives.vie_model import VIE

FACTS, ARRAYS = golden_rule.load("losses")
IR, LA = ([case for case in FACTS["cases"] if case["task"] == task] for task in ("IR", "LA"))


def bank_rows(size):
    return golden_rule.variable(
        "instance/memory_bank", (size, FACTS["dim"]), golden_rule.set_seed()
    )


@pytest.mark.parametrize("case", IR, ids=[case["id"] for case in IR])
def test_nce_loss_halves_and_gradients(case):
    name, size = case["id"], case["bank_size"]
    rows = tf.constant(bank_rows(size))
    raw = tf.constant(ARRAYS[f"N{size}/raw"])
    index = ARRAYS[f"N{size}/index"]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(raw)
        embedding = tf.math.l2_normalize(raw, axis=1)
        own = tf.einsum("bd,bd->b", embedding, tf.gather(rows, index))
        noise = tf.gather(rows, ARRAYS[f"{name}/noise"].astype(np.int64))
        noise = tf.einsum("bd,bkd->bk", embedding, noise)
        losses = instance_recognition.nce_loss(own, noise, size, FACTS["temperature"])
        loss = tf.reduce_mean(losses["loss"])
    np.testing.assert_allclose(loss, case["loss"], rtol=2e-5)
    np.testing.assert_allclose(losses["data"], ARRAYS[f"{name}/item_loss_model"], rtol=2e-5)
    np.testing.assert_allclose(losses["noise"], ARRAYS[f"{name}/item_loss_noise"], rtol=2e-5)
    tf1.close(tape.gradient(loss, raw), ARRAYS[f"{name}/grad_raw"], 1e-4)
    tf1.close(tape.gradient(loss, embedding), ARRAYS[f"{name}/grad_emb"], 1e-4)


@pytest.mark.parametrize("case", LA, ids=[case["id"] for case in LA])
def test_aggregation_loss_and_gradients(case):
    """Background neighbours, close ones and eq. 4, by the model's own path."""
    name, size, chosen = case["id"], case["bank_size"], case["cluster_rows"]
    bank, clusters = memory_bank.MemoryBank(size), Clusters(size, len(chosen))
    bank.rows.assign(bank_rows(size))
    bank.visited.assign(tf.ones_like(bank.visited))
    clusters.labels.assign(ARRAYS[f"N{size}/cluster_labels"][chosen].T.astype(np.int32))
    model = VIE(
        keras.Model(),
        bank,
        temperature=FACTS["temperature"],
        clusters=clusters,
        neighbours=case["k"] or size,
    )
    model.aggregate()
    raw = tf.constant(ARRAYS[f"N{size}/raw"])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(raw)
        embedding = tf.math.l2_normalize(raw, axis=1)
        losses = model.objective(embedding, tf.constant(ARRAYS[f"N{size}/index"]))
        loss = tf.reduce_mean(losses["loss"])
    np.testing.assert_allclose(loss, case["loss"], rtol=2e-5)
    np.testing.assert_allclose(losses["loss"], ARRAYS[f"{name}/item_loss"], rtol=2e-5, atol=1e-6)
    assert tf.reduce_sum(losses["alone"]) == case["items_without_close_neighbour"]
    tf1.close(tape.gradient(loss, raw), ARRAYS[f"{name}/grad_raw"], 1e-4)
    tf1.close(tape.gradient(loss, embedding), ARRAYS[f"{name}/grad_emb"], 1e-4)


def test_first_step_of_an_untrained_network():
    """Random points and a fresh bank: ln(K * 2.2456) + 0.983, whatever the number of videos."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((6000, 128)).astype("float32")
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    embeddings, bank = points[:1000], points[1000:]
    own = np.sum(embeddings * bank[:1000], axis=1)
    noise = embeddings @ bank[rng.integers(5000, size=4096)].T
    losses = instance_recognition.nce_loss(own, noise, 5000)
    assert abs(np.mean(losses["data"]) - 9.127) < 0.3
    assert abs(np.mean(losses["noise"]) - 0.983) < 0.1


def test_softmax_loss_is_equation_3():
    rng = np.random.default_rng(1)
    similarities = rng.uniform(-1, 1, (5, 40)).astype("float32")
    index = rng.integers(40, size=5)
    p = np.exp(similarities.astype("float64") / 0.1)
    expected = -np.log(p[np.arange(5), index] / p.sum(1))
    ours = instance_recognition.softmax_loss(similarities, index, 0.1)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.parametrize("size", sorted({case["bank_size"] for case in FACTS["cases"]}))
def test_running_mean_matches_the_authors(size):
    index = ARRAYS[f"N{size}/index"]
    embedding = tf.math.l2_normalize(ARRAYS[f"N{size}/raw"], axis=1)
    rows = memory_bank.running_mean(
        tf.gather(bank_rows(size), index), index, embedding, FACTS["momentum"]
    )
    np.testing.assert_allclose(rows, ARRAYS[f"N{size}/new_rows"], rtol=2e-5, atol=1e-6)


def test_a_video_twice_in_a_batch_gets_the_mean_whatever_the_order():
    rng = np.random.default_rng(2)
    rows = tf.math.l2_normalize(rng.standard_normal((3, 8)).astype("float32"), axis=1)
    e = tf.math.l2_normalize(rng.standard_normal((3, 8)).astype("float32"), axis=1).numpy()
    index = np.array([4, 7, 4])
    rows = tf.gather(rows, [0, 1, 0])
    new = memory_bank.running_mean(rows, index, e, 0.5).numpy()
    expected = 0.5 * rows[0] + 0.25 * (e[0] + e[2])
    np.testing.assert_allclose(new[0], expected / np.linalg.norm(expected), rtol=1e-5)
    np.testing.assert_array_equal(new[0], new[2])


def test_bank_starts_as_stated_and_remembers_visits():
    bank = memory_bank.MemoryBank(5000, seed=3)
    np.testing.assert_allclose(np.linalg.norm(bank.rows, axis=1), 1, rtol=1e-5)
    assert not bank.visited.numpy().any() and (bank.labels.numpy() == -1).all()
    legacy = memory_bank.MemoryBank(5000, seed=3, legacy=True).rows.numpy()
    initial = FACTS["bank_initial_statistics"]
    assert np.abs(legacy).max() <= initial["bound"] + 1e-7
    assert abs(np.linalg.norm(legacy, axis=1).std() - initial["row_norm_std"]) < 0.003
    before = bank.rows.numpy()
    e = tf.math.l2_normalize(tf.ones((2, 128)), axis=1)
    bank.update(tf.constant([9, 2], tf.int64), e, tf.constant([6, 5], tf.int64))
    assert sorted(np.flatnonzero(bank.visited)) == [2, 9]
    assert bank.labels.numpy()[[2, 9]].tolist() == [5, 6]
    changed = np.flatnonzero((bank.rows.numpy() != before).any(1))
    assert sorted(changed) == [2, 9]
