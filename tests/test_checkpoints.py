"""Checkpoints of the first versions, whose state had types for which GPUs have no kernels."""

import numpy as np
import pytest
import tensorflow as tf
from small_model import VIDEOS, batches, make_model

from vie_tf.training.checkpoints import Checkpoints
from vie_tf.training.optimizer import Plateau


def of_first_types(model):
    """What a model's checkpoint held."""
    bank, clusters, plateau = model.bank, model.clusters, model.plateau
    rows = {"rows": bank.rows} if bank.shards == 1 else {"parts": bank.parts}
    marks = tf.Variable(bank.visited.numpy() > 0)
    parts = {
        "bank": tf.train.Checkpoint(labels=bank.labels, visited=marks, **rows),
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


def trained(scope, sharded):
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
    before = trained(scope(), sharded)
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
    assert types["bank/visited/.ATTRIBUTES/VARIABLE_VALUE"] == tf.uint8
