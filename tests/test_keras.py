"""What a Keras user tries: saving, cloning, evaluation, callbacks, metrics."""

import hashlib
import warnings

import numpy as np
import pytest
import small_networks
import tensorflow as tf
from small_model import SIZE, VIDEOS, batches, make_model, small_network
from test_training import classifies

from vie_tf import device
from vie_tf.evaluation.taps import find_taps
from vie_tf.keras2 import keras
from vie_tf.models import families
from vie_tf.models.input_single import input_single
from vie_tf.models.two_stream import two_stream
from vie_tf.objectives.clustering import Clusters
from vie_tf.objectives.instance_recognition import softmax_loss
from vie_tf.objectives.memory_bank import MemoryBank
from vie_tf.objectives.pretext import Pretext
from vie_tf.objectives.registry import OBJECTIVES
from vie_tf.objectives.supervised_model import Supervised
from vie_tf.objectives.vie_model import VIE
from vie_tf.training.learning_rate import PiecewiseRate
from vie_tf.training.linear_classifiers import ReadOut
from vie_tf.training.optimizer import Momentum


@pytest.fixture(autouse=True)
def without_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Keras 2.15 asks `random` for a number up to 1e9, a float.
        warnings.filterwarnings("ignore", "non-integer arguments to randrange")
        # AutoGraph gives nodes of the syntax tree a field of its own.
        warnings.filterwarnings("ignore", ".*___pyct_anno")
        yield


def order():
    return families.build("opn", SIZE, **OBJECTIVES["order"]().head(0))


def rotation():
    return families.build("rotnet3d", SIZE, **OBJECTIVES["rotation"]().head(0))


def both_streams():
    return two_stream(families.build("single", SIZE), families.build("slow", SIZE))


OTHERS = {
    "any size": lambda: families.build("single"),
    "depth 50": lambda: families.build("slowfast", SIZE, depth=50),
    "classifier": lambda: families.build("slow", SIZE, num_classes=5),
    "order": order,
    "rotation": rotation,
    "fine-tuned": lambda: families.build_finetuned("slowfast", SIZE, num_classes=5),
    "fine-tuned streams": lambda: families.build_finetuned("single+slow", SIZE, num_classes=5),
    "two streams": both_streams,
    "frames of single": lambda: input_single(families.build("single", SIZE), 4),
}


def clips_for(network):
    shape = [SIZE if side is None else side for side in network.input.shape[1:]]
    return np.random.default_rng(0).integers(0, 256, (2, *shape)).astype("float32")


def assert_same(ours, theirs, atol=0.0):
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=atol, err_msg=name)


def assert_loads_the_same(network, path):
    network.save(path)
    again = keras.models.load_model(path)
    assert_same(network(clips_for(network)), again(clips_for(network)))
    assert [x.name for x in network.layers] == [x.name for x in again.layers]
    return again


@pytest.mark.parametrize("family", small_networks.distinct())
def test_each_family_is_saved_and_loaded(family, tmp_path):
    assert_loads_the_same(families.build(family, SIZE), tmp_path / "x.keras")


@pytest.mark.parametrize("what", OTHERS)
def test_other_networks_are_saved_and_loaded(what, tmp_path):
    network = OTHERS[what]()
    again = assert_loads_the_same(network, tmp_path / "x.keras")
    if what == "any size":
        assert again(np.zeros((1, 1, 48, 64, 3)))["encode_1"].shape[1:3] == (12, 16)


@pytest.mark.slow
@pytest.mark.parametrize("family", families.FAMILIES)
def test_each_real_family_is_saved_and_loaded(family, tmp_path):
    with small_networks.real():
        network = families.build(family, SIZE)
    assert_loads_the_same(network, tmp_path / "x.keras")


@pytest.mark.parametrize("family", ["single", "slowfast", "relation4", "resnet3d"])
def test_a_network_saved_on_one_device_has_the_others_body_there(family, tmp_path, monkeypatch):
    """And the same layers, so that weights and checkpoints of both are alike."""
    network = families.build(family, SIZE)
    network.save(tmp_path / "x.keras")
    clips, expected = clips_for(network), network(clips_for(network))
    monkeypatch.setattr(device, "on_gpu", lambda: True)
    made, loaded = families.build(family, SIZE), keras.models.load_model(tmp_path / "x.keras")
    assert [type(layer) for layer in made.layers] == [type(layer) for layer in loaded.layers]
    operations = [
        {op.type for op in tf.function(x).get_concrete_function(clips).graph.get_operations()}
        for x in (made, loaded, network)
    ]
    assert operations[0] == operations[1] == operations[2]
    assert not operations[0] & {"AvgPool", "AvgPool3D", "PadV2"}
    assert_same(expected, loaded(clips), atol=1e-3)


def places(network):
    """Where a checkpoint keeps which weights, in short."""
    layers = [layer for layer in network.layers if layer.weights]
    said = [(layer.name, [tuple(w.shape) for w in layer.weights]) for layer in layers]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:8]


# What runs have on disk must be found again: these do not change.
PLACES = {
    "single": "cb42777b",
    "resnet3d": "70ed0d8f",
    "slow": "30522825",
    "fast": "6ca6967a",
    "slowfast": "c5cb2877",
    "trn": "555abae4",
    "trn_slowfast": "5590bfa9",
    "relation": "696e3bd4",
    "relation_mean": "696e3bd4",
    "relation4": "8aca6145",
    "relation4_mean": "8aca6145",
}


@pytest.mark.parametrize("family", small_networks.distinct())
def test_checkpoints_of_a_network_stay_what_they_are(family):
    with small_networks.real():
        assert places(families.build(family, SIZE)) == PLACES[family]


def test_a_clone_begins_anew_and_has_the_same_layers():
    network = families.build("slowfast", SIZE)
    clone = keras.models.clone_model(network)
    clone.set_weights(network.get_weights())
    assert_same(network(clips_for(network)), clone(clips_for(network)))


def model_of(kind):
    """A compiled model of each kind, and batches for it."""
    keras.utils.set_random_seed(1)
    if kind in ("", "rotation", "read-outs"):
        model = classifies(kind)
        model.compile(Momentum(PiecewiseRate(0.1, [2]), l2=0.1))
        return model
    return make_model(16 if kind == "nce" else 0, aggregates=kind == "la")


KINDS = ["softmax", "nce", "la", "", "rotation", "read-outs"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_goes_on_from_where_it_was_saved(kind, tmp_path):
    """Weights, optimizer with its step and rate, bank, clusters, which loss it is at."""
    model = model_of(kind)
    model.fit(batches(2), verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again) is type(model)
    for ours, theirs in zip(model.weights, again.weights):
        np.testing.assert_array_equal(ours, theirs)
    histories = [x.fit(batches(3), verbose=0).history for x in (model, again)]
    assert histories[0] == histories[1] and np.isfinite(histories[0]["loss"]).all()
    assert model.optimizer.iterations.numpy() == again.optimizer.iterations.numpy() == 5
    for ours, theirs in zip(model.weights, again.weights):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cloned_model_is_of_the_same_settings(kind):
    model = model_of(kind)
    clone = keras.models.clone_model(model)
    assert type(clone) is type(model) and clone.get_config() == model.get_config()
    clone.set_weights(model.get_weights())
    clone.compile(Momentum(0.1))
    evaluated = [x.evaluate(batches(2), verbose=0) for x in (model, clone)]
    assert evaluated[0] == evaluated[1]


def test_a_task_of_ones_own_is_refused_with_words():
    own = Pretext((0, 1), lambda clip: clip, lambda features, classes: features)
    with pytest.raises(ValueError, match="pretext task of your own"):
        Supervised(small_network(), pretext=own).get_config()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_bank_is_saved_whole_and_loaded_in_shards(precision, replicas, tmp_path):
    def make(sharded):
        bank = MemoryBank(VIDEOS, seed=5, precision=precision, sharded=sharded)
        model = VIE(small_network(), bank, 16, clusters=Clusters(VIDEOS, 2))
        model.compile(Momentum(0.1))
        return model

    with replicas.scope():
        model = make(sharded=True)
    model.fit(batches(1), verbose=0)
    model.clusters.labels.assign(np.arange(2 * VIDEOS).reshape(VIDEOS, 2))
    model.save(tmp_path / "sharded.keras")
    one = keras.models.load_model(tmp_path / "sharded.keras")  # of one replica
    assert one.bank.shards == 1 and one.bank.rows.dtype == precision
    one.save(tmp_path / "one.keras")
    with replicas.scope():
        two = keras.models.load_model(tmp_path / "one.keras")
    assert two.bank.shards == 2
    for loaded in (one, two):
        np.testing.assert_array_equal(loaded.bank.whole(), model.bank.whole())
        np.testing.assert_array_equal(loaded.bank.labels, model.bank.labels)
        np.testing.assert_array_equal(loaded.bank.visited, model.bank.visited)
        np.testing.assert_array_equal(loaded.clusters.labels, model.clusters.labels)
    assert model.bank.visited.numpy().sum() == 8


def test_evaluation_is_the_loss_against_the_bank_as_it_is():
    model = make_model()
    model.compile(Momentum(0.1), metrics=["accuracy"])
    data = batches(2, size=7)
    before = [weight.numpy() for weight in model.network.weights + model.bank.weights]
    found = model.evaluate(data, verbose=0, return_dict=True)
    clips = np.concatenate([batch["clip"] for batch in data]).astype("float32")
    index = np.concatenate([batch["index"] for batch in data])
    embeddings = model.network(clips, training=False)["embedding"]
    similarities = embeddings.numpy() @ model.bank.whole().T
    np.testing.assert_allclose(
        found["loss"], np.mean(softmax_loss(similarities, index, 0.1)), rtol=1e-5
    )
    assert found["accuracy"] == pytest.approx(np.mean(similarities.argmax(axis=1) == index))
    for then, now in zip(before, model.network.weights + model.bank.weights):
        np.testing.assert_array_equal(then, now)
    assert model.predict(data, verbose=0).shape == (14, 128)
    np.testing.assert_allclose(model.predict(clips, verbose=0), embeddings, atol=1e-6)


def test_a_clip_that_is_its_videos_row_is_recalled():
    model = make_model(16)
    model.compile(Momentum(0.1), metrics=[keras.metrics.SparseCategoricalAccuracy("recall_at_1")])
    data = batches(1)
    assert model.evaluate(data, verbose=0, return_dict=True)["recall_at_1"] < 1
    batch = next(iter(data))
    for row, place in zip(model.predict(data, verbose=0), batch["index"].numpy()):
        model.bank.rows.scatter_nd_update([[place]], [row])
    assert model.evaluate(data, verbose=0, return_dict=True)["recall_at_1"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_means_of_the_epoch(kind):
    model, other = model_of(kind), model_of(kind)
    each = [{name: float(x) for name, x in other.take_step(b).items()} for b in batches(3)]
    history = model.fit(batches(3), verbose=0).history
    assert "loss" in history and history.keys() < each[0].keys()
    for name, values in history.items():
        np.testing.assert_allclose(values, np.mean([step[name] for step in each]), rtol=1e-4)
    again = model.fit(batches(3).take(1), verbose=0).history["loss"]  # means begin anew
    expected = other.take_step(next(iter(batches(3))))["loss"]
    np.testing.assert_allclose(again, expected, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_trained_is_validated(kind):
    history = model_of(kind).fit(batches(1), validation_data=batches(2), verbose=0).history
    losses = {name for name in history if not name.startswith("val_")}
    assert {f"val_{name}" for name in losses} == history.keys() - losses
    assert all(np.isfinite(values).all() for values in history.values())


def test_after_aggregation_has_begun_it_is_evaluated():
    model = make_model(16)
    model.fit(batches(1), validation_data=batches(1), verbose=0)
    model.clusters.labels.assign(np.arange(VIDEOS)[:, None] % 4)
    model.aggregate()
    history = model.fit(batches(1), validation_data=batches(1), verbose=0).history
    assert {"val_loss", "val_close", "val_alone"} < history.keys() and "val_data" not in history


def test_two_replicas_see_the_metrics_of_one(replicas):
    found = []
    for scope in (tf.distribute.get_strategy().scope, replicas.scope):
        with scope():
            model = make_model(16)
            model.compile(Momentum(0.1), metrics=["accuracy"])
        history = model.fit(batches(2), validation_data=batches(3), verbose=0).history
        found.append(history)
    assert found[0].keys() == found[1].keys() and "val_accuracy" in found[0]
    for name, values in found[0].items():
        np.testing.assert_allclose(values, found[1][name], rtol=1e-3, err_msg=name)


@pytest.mark.parametrize("options", [{"steps_per_execution": 3}, {"run_eagerly": True}])
def test_steps_are_the_same_in_one_execution_and_eagerly(options):
    plain, other, seen = make_model(16), make_model(16), []
    other.compile(Momentum(0.1), **options)
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: seen.append(step))
    data = batches(8)  # two executions of three, and one of two
    first = plain.fit(data, verbose=0).history["loss"]
    second = other.fit(data, verbose=0, callbacks=[count]).history["loss"]
    np.testing.assert_allclose(first, second, rtol=1e-4)
    assert other.optimizer.iterations.numpy() == 8
    assert seen == ([2, 5, 7] if "steps_per_execution" in options else list(range(8)))
    np.testing.assert_allclose(plain.bank.whole(), other.bank.whole(), rtol=1e-3, atol=1e-5)


def test_arrays_are_taken_too():
    arrays = {name: values.numpy() for name, values in next(iter(batches(1))).items()}
    one, other = make_model(16), make_model(16)
    first = one.fit(batches(1), verbose=0).history["loss"]
    second = other.fit(arrays, batch_size=8, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(first, second, rtol=1e-4)
    evaluated = one.evaluate(batches(1), verbose=0), other.evaluate(arrays, verbose=0)
    np.testing.assert_allclose(*evaluated, rtol=1e-3)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_keras_own_optimizers_learn(optimizer):
    model = make_model()
    model.compile(optimizer)
    before = model.network.get_weights()
    losses = model.fit(batches(2), epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert np.abs(model.network.get_weights()[0] - before[0]).max() > 0


def test_callbacks_save_and_stop(tmp_path):
    model = make_model(16)
    best = keras.callbacks.ModelCheckpoint(
        str(tmp_path / "{epoch}.keras"), monitor="val_loss", save_best_only=True
    )
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=1, restore_best_weights=True)
    board = keras.callbacks.TensorBoard(tmp_path / "board", write_graph=True)
    weights = keras.callbacks.ModelCheckpoint(
        str(tmp_path / "{epoch}.weights.h5"), save_weights_only=True
    )
    history = model.fit(
        batches(2),
        validation_data=batches(2),
        epochs=30,
        verbose=0,
        callbacks=[best, stop, board, weights],
    ).history["val_loss"]
    assert len(history) < 30 and history[-1] >= min(history)
    kept = keras.models.load_model(tmp_path / f"{np.argmin(history) + 1}.keras")
    for ours, theirs in zip(model.weights, kept.weights):
        np.testing.assert_array_equal(ours, theirs)
    other = make_model(16)
    other.load_weights(tmp_path / f"{np.argmin(history) + 1}.weights.h5")
    np.testing.assert_array_equal(other.bank.whole(), model.bank.whole())
    assert list((tmp_path / "board").rglob("*.tfevents.*"))


def test_an_interrupted_fit_goes_on_from_its_backup(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    whole = make_model(16)
    whole.fit(batches(2), epochs=4, verbose=0)
    backup = tmp_path / "backup"
    with pytest.raises(KeyboardInterrupt):
        callbacks = [keras.callbacks.BackupAndRestore(backup), Stop()]
        make_model(16).fit(batches(2), epochs=4, verbose=0, callbacks=callbacks)
    again = make_model(16)
    callbacks = [keras.callbacks.BackupAndRestore(backup)]
    history = again.fit(batches(2), epochs=4, verbose=0, callbacks=callbacks).history
    assert len(history["loss"]) == 2 and again.optimizer.iterations.numpy() == 8
    for ours, theirs in zip(whole.weights, again.weights):
        np.testing.assert_array_equal(ours, theirs)


def test_read_outs_are_measured_tap_by_tap():
    network = families.build("single", SIZE)
    model = ReadOut(network, find_taps(network, ["conv1-avg", "embedding"], 18), 5)
    model.compile(Momentum(0.1), metrics=["accuracy"])
    found = model.evaluate(batches(1), verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(found["conv1-avg_loss"] + found["embedding_loss"])
    logits = model.predict(batches(1), verbose=0)["embedding"]
    expected = np.mean(logits.argmax(axis=1) == next(iter(batches(1)))["label"].numpy())
    assert found["embedding_accuracy"] == pytest.approx(expected)
