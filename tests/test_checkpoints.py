"""Checkpoints of earlier versions, some of whose state had types that GPUs cannot write."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from small_model import VIDEOS, batches, make_model, small_network

from vie_tf.evaluation.searched import read_bank
from vie_tf.objectives.supervised_model import Supervised
from vie_tf.runs.checkpoints import Checkpoints
from vie_tf.training.optimizer import Momentum, Plateau


def of_first_types(model):
    """What a model's checkpoint held."""
    bank, clusters, plateau = model.bank, model.clusters, model.plateau
    rows = {"rows": bank.rows} if bank.shards == 1 else {"parts": bank.parts}
    labels, marks = tf.Variable(bank.known_labels()), tf.Variable(bank.used())
    parts = {
        "bank": tf.train.Checkpoint(labels=labels, visited=marks, **rows),
        "clusters": tf.train.Checkpoint(
            labels=tf.Variable(clusters.labels.numpy().astype(np.int32)),
            next_labels=tf.Variable(clusters.next_labels.numpy().astype(np.int32)),
        ),
        "plateau": tf.train.Checkpoint(
            best=plateau.best,
            waited=tf.Variable(plateau.waited.numpy().astype(np.int32)),
            drops=tf.Variable(plateau.drops.numpy().astype(np.int32)),
        ),
    }
    return tf.train.Checkpoint(optimizer=model.optimizer, network=model.network, **parts)


def some_steps(scope, sharded):
    with scope:
        model = make_model(16, sharded=sharded)
        model.plateau = Plateau(2)
        model.fit(batches(1), verbose=0)
    model.clusters.labels.assign(np.arange(VIDEOS)[:, None] % 3)
    model.clusters.next_labels.assign(np.arange(VIDEOS)[:, None] % 4)
    for value in (0.5, 0.4, 0.3):
        model.plateau.see(value)
    return model


@pytest.mark.parametrize("sharded", [False, True])
def test_a_checkpoint_of_the_first_versions_goes_on(sharded, replicas, tmp_path):
    scope = replicas.scope if sharded else tf.distribute.get_strategy().scope
    before = some_steps(scope(), sharded)
    manager = tf.train.CheckpointManager(of_first_types(before), str(tmp_path), 1)
    manager.save(checkpoint_number=1)
    with scope():
        after = make_model(16, sharded=sharded)
        after.plateau = Plateau(2)
        saved = Checkpoints(tmp_path, after, keep=2)
        assert saved.restore() == 1
    np.testing.assert_array_equal(before.bank.whole(), after.bank.whole())
    np.testing.assert_array_equal(before.bank.used(), after.bank.used())
    assert 0 < after.bank.used().sum() < VIDEOS
    np.testing.assert_array_equal(before.bank.labels, after.bank.labels)
    np.testing.assert_array_equal(before.clusters.labels, after.clusters.labels)
    np.testing.assert_array_equal(before.clusters.next_labels, after.clusters.next_labels)
    assert (after.plateau.drops.numpy(), after.plateau.waited.numpy()) == (1, 0)
    assert after.plateau.best.numpy() == 0.5
    for ours, theirs in zip(before.network.weights, after.network.weights):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(before.optimizer.accumulators, after.optimizer.accumulators):
        np.testing.assert_array_equal(ours, theirs)
    saved.save()  # and is from then on one of this version
    types = tf.train.load_checkpoint(str(tmp_path)).get_variable_to_dtype_map()
    assert types["bank/visited/.ATTRIBUTES/VARIABLE_VALUE"] == tf.float32


def test_one_without_a_bank_goes_on(tmp_path):
    """As of fine-tuning, of which only what counts for the rate has another type."""
    models = [Supervised(small_network()), Supervised(small_network())]
    for model in models:
        model.compile(Momentum(0.1))
        model.plateau = Plateau(2)
    before, after = models
    before.optimizer.build(before.network.trainable_weights)
    before.network.set_weights([weight + 1.0 for weight in before.network.get_weights()])
    plateau = {"best": tf.Variable(0.25), "waited": tf.Variable(1), "drops": tf.Variable(2)}
    parts = {"network": before.network, "plateau": tf.train.Checkpoint(**plateau)}
    tree = tf.train.Checkpoint(optimizer=before.optimizer, **parts)
    tf.train.CheckpointManager(tree, str(tmp_path), 1).save(checkpoint_number=0)
    assert Checkpoints(tmp_path, after, keep=1).restore() == 0
    found = (after.plateau.best, after.plateau.waited, after.plateau.drops)
    assert [x.numpy() for x in found] == [0.25, 1, 2]
    for ours, theirs in zip(before.network.weights, after.network.weights):
        np.testing.assert_array_equal(ours, theirs)


def bank_of_first_types(run, shards):
    """A new newest checkpoint of a run, whose bank is as the first versions kept it."""
    reader = tf.train.load_checkpoint(str(run / "checkpoints"))
    rows, labels, visited = (
        reader.get_tensor(f"bank/{name}/.ATTRIBUTES/VARIABLE_VALUE")
        for name in ("rows", "labels", "visited")
    )
    each = -(-len(rows) // shards)  # shard s has the rows s, s + shards, ...; the last may lack one
    rows = np.concatenate([rows, np.zeros((each * shards - len(rows), rows.shape[1]), np.float32)])
    parts = [tf.Variable(rows[shard::shards]) for shard in range(shards)]
    kept = {"parts": parts} if shards > 1 else {"rows": parts[0]}
    marks = tf.Variable(visited > 0)
    labels = tf.Variable(labels.astype(np.int64))
    bank = tf.train.Checkpoint(labels=labels, visited=marks, **kept)
    manager = tf.train.CheckpointManager(
        tf.train.Checkpoint(bank=bank), str(run / "checkpoints"), 9
    )
    manager.save(checkpoint_number=99)


@pytest.mark.parametrize("shards", [1, 3])
def test_the_bank_of_the_first_versions_is_searched(shards, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    bank_of_first_types(tmp_path / "run", shards)
    now, before = (read_bank(str(x), "label", "split") for x in (trained, tmp_path / "run"))
    assert len(now.names) > 20 and len(set(now.names)) > 2
    np.testing.assert_array_equal(now.names, before.names)
    np.testing.assert_array_equal(now.clips, before.clips)
