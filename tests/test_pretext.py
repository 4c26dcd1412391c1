"""Order prediction and rotation: labels and pixels from first principles, and whole runs."""

import itertools
import json

import numpy as np
import pytest
import tensorflow as tf
from make_videos import write_video
from test_each_family import data, train  # noqa: F401 (a fixture)
from words import rewound, vie_tf

from vie_tf.data import pipeline
from vie_tf.data.augmentation import NO_NOISE
from vie_tf.data.videos import open_videos
from vie_tf.errors import InputError
from vie_tf.keras2 import keras
from vie_tf.models import families
from vie_tf.objectives import pretext
from vie_tf.objectives.supervised_model import Supervised
from vie_tf.runs import start_from, trained
from vie_tf.training.optimizer import Momentum

ORDER, ROTATION = pretext.PRETEXTS["order"], pretext.PRETEXTS["rotation"]


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)


def built(family, task):
    """A small network of it in inference mode, whose normalisation does something."""
    options = {"num_classes": task.classes, "classify": task.classify}
    network = families.build(family, image_size=32, bn_momentum=0.5, **options)
    network(noise(2, *network.input.shape[1:]), training=True)
    return network


def test_labels_tell_orders_but_not_their_direction():
    """The class of every order of four frames is the order, or its reverse, and no other has it."""
    assert len(ORDER.labels) == 24 and ORDER.classes == 12
    for order, label in zip(itertools.permutations(range(4)), ORDER.labels):
        assert pretext.CLASSES[label] in (order, order[::-1])
        assert ORDER.labels[pretext.ORDERS.index(order[::-1])] == label
    assert sorted(ORDER.labels) == sorted([*range(12)] * 2)


def test_every_order_is_seen_as_if_its_frames_were_shuffled():
    network, clip = built("opn", ORDER), noise(2, 4, 32, 32, 3)
    shown = ORDER.answers(network, clip, training=False).numpy()
    assert shown.shape == (2, 24, 12) and np.ptp(shown, axis=1).min() > 1e-3
    for number in (1, 9, 23):
        shuffled = clip[:, list(pretext.ORDERS[number])]  # in what stands for the order of time
        alone = ORDER.answers(network, shuffled, training=False)[:, 0]
        np.testing.assert_allclose(alone, shown[:, number], rtol=1e-3, atol=1e-4)


def test_the_head_of_orders_is_a_loop_over_pairs():
    features = keras.Input((4 * 5,))
    model = keras.Model(features, ORDER.classify(features, 12))
    hidden, last = (layer for layer in model.layers if layer.weights)
    (w1, b1), (w2, b2) = ([x.numpy() for x in layer.weights] for layer in (hidden, last))
    assert w1.shape == (10, 512) and w2.shape == (3072, 12)
    b1, b2 = np.linspace(-1, 1, 512), np.linspace(-1, 1, 12)
    hidden.set_weights([w1, b1])
    last.set_weights([w2, b2])
    rows = np.random.default_rng(0).normal(size=(2, 20)).astype(np.float32)
    expected = np.zeros((2, 24, 12))
    for item, frames in enumerate(rows.reshape(2, 4, 5)):
        for number, order in enumerate(itertools.permutations(frames)):
            x = [
                np.maximum(np.concatenate([order[i], order[j]]) @ w1 + b1, 0)
                for i in range(4)
                for j in range(i + 1, 4)
            ]
            expected[item, number] = np.concatenate(x) @ w2 + b2
    np.testing.assert_allclose(model(rows), expected, atol=1e-5)


def test_rotations_are_exact_and_labelled_clip_by_clip():
    """All frames of a clip are turned alike; the authors' loader mixes frames and turns."""
    clip = noise(3, 5, 8, 8, 3)
    turned = pretext.turned(tf.constant(clip, tf.uint8)).numpy()
    assert turned.dtype == np.uint8 and turned.shape == (12, 5, 8, 8, 3)
    for number, found in enumerate(turned):
        quarters = ROTATION.labels[number % 4]
        expected = np.rot90(clip[number // 4], quarters, axes=(1, 2))
        np.testing.assert_array_equal(found, expected)


def test_answers_on_rotations_stand_by_their_clips():
    network, clip = built("single", ROTATION), noise(3, 1, 32, 32, 3)
    answers = ROTATION.answers(network, clip, training=False)
    for quarters in range(4):
        alone = network(np.rot90(clip, quarters, axes=(2, 3)), training=False)["logits"]
        np.testing.assert_allclose(answers[:, quarters], alone, rtol=1e-3, atol=1e-4)
    right = np.argmax(answers, -1) == np.arange(4)
    np.testing.assert_allclose(pretext.solver(network, ROTATION)(clip), right.mean(1), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "loss, family", [("order", "opn"), ("rotation", "single"), ("rotation", "rotnet3d")]
)
def test_run(data, tmp_path, capsys, loss, family):  # noqa: F811
    """Goes on bit for bit, is its seed's, and everything else takes it."""
    flags = dict(loss=loss, family=family, steps=3, evaluate_every=3)
    losses = train(data, tmp_path / "run", **flags)
    assert len(losses) == 3 and np.isfinite(losses).all()
    shown = capsys.readouterr().err
    assert "accuracy" in shown
    lines = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [0 <= line["accuracy"] <= 1 for line in lines if "loss" in line] == [True] * 3
    assert {"top1", "recall_at_1"} <= set(lines[-1])
    assert train(data, rewound(tmp_path / "run", 2, tmp_path / "parts"), **flags) == losses
    weights = [
        tf.train.load_checkpoint(str(tmp_path / name / "checkpoints")) for name in ("run", "parts")
    ]
    for name in weights[0].get_variable_to_shape_map():
        if name.startswith(("network", "optimizer")):
            one, other = (reader.get_tensor(name) for reader in weights)
            np.testing.assert_array_equal(one, other, err_msg=name)
    vie_tf("--mode=knn", f"--data={data}", f"--workdir={tmp_path / 'run'}", "--k=3", "--clips=1")
    assert "top1" in capsys.readouterr().out.splitlines()[-1]
    with pytest.raises(InputError, match=f"with --loss={loss}, and has no bank"):
        vie_tf("--mode=knn", "--bank", f"--data={data}", f"--workdir={tmp_path / 'run'}", "--k=3")
    vie_tf("--mode=export", f"--workdir={tmp_path / 'run'}", f"--out={tmp_path / 'model'}")
    served = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    out, shared = tmp_path / "e.npz", (f"--data={data}", f"--workdir={tmp_path / 'run'}")
    vie_tf("--mode=embed", *shared, f"--out={out}", "--clips=1")
    clips = pipeline.TestClips(families.sampling_of(family), 32, 1)
    batch = next(iter(pipeline.test_batches(open_videos(str(data)), clips)))
    found = served(clip=batch["clip"])
    rows = np.load(out)["embeddings"][: len(batch["clip"])]
    np.testing.assert_allclose(found["embedding"], rows, atol=1e-5)
    assert {"encode_1", "encode_7"} <= set(found)


@pytest.mark.slow
def test_one_frame_of_opn(data, tmp_path):  # noqa: F811
    """As flags/opn_single.flags: its weights in the network of VIE-Single, for larger frames."""
    train(data, tmp_path / "opn", loss="order", family="opn", steps=2)
    words = (f"--start_from={tmp_path / 'opn'}", "--family=single", "--image_size=64", "--steps=0")
    vie_tf(f"--data={data}", f"--workdir={tmp_path / 'single'}", *words)
    single, opn = (trained.load_network(tmp_path / name)[0] for name in ("single", "opn"))
    assert single.input_shape == (None, 1, 64, 64, 3)
    theirs = dict(start_from.named_weights(opn))
    for name, weight in start_from.named_weights(single):
        if name[0] != "embedding_raw":
            np.testing.assert_array_equal(weight, theirs[name])


@pytest.mark.parametrize("loss, family", [("order", "opn"), ("rotation", "single")])
def test_learns_a_batch(data, loss, family):  # noqa: F811
    """From a loss as by chance to a clearly lower one."""
    task, videos = pretext.PRETEXTS[loss], open_videos(str(data))
    sampling = families.sampling_of(family)
    batch = next(iter(pipeline.training_batches(videos, sampling, 8, 32, 0, 0, 1)))

    keras.utils.set_random_seed(0)
    model = Supervised(built(family, task), NO_NOISE, task)
    model.compile(Momentum(0.03, l2=1e-4))
    step = tf.function(model.take_step)
    losses, chance = [float(step(batch)["loss"]) for _ in range(40)], np.log(task.classes)
    assert abs(losses[0] - chance) < 0.5 * chance and np.mean(losses[-5:]) < 0.8 * chance


def test_bad_requests_are_one_line(tmp_path, capsys):
    for name, frames in (("short", 15), ("long", 16)):
        (tmp_path / name).mkdir()
        for number in range(4):
            write_video(tmp_path / name / f"{number}.mp4", frames=frames, height=48, width=48)
    flags = dict(loss="order", steps=1, decoder="pyav")
    with pytest.raises(InputError, match="no training video has the 16 frames .* spans; give"):
        train(tmp_path / "short", tmp_path / "run", family="opn", **flags)
    for family in ("single", "slow", "trn_slowfast"):
        with pytest.raises(InputError, match=f"not --family={family}: choose one of trn, trn_slow"):
            train(tmp_path / "long", tmp_path / "run", family=family, **flags)
    imported = {"mode": "import_checkpoint", "checkpoint": "x"}
    for wrong, said in (({"temperature": 1}, "is for --loss=ir"), (imported, "runs with a bank")):
        with pytest.raises(SystemExit):
            train(tmp_path / "long", tmp_path / "run", family="opn", **wrong, **flags)
        assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    # A few that are short are left out, in training and where it is watched.
    (tmp_path / "short" / "0.mp4").rename(tmp_path / "long" / "short.mp4")
    train(tmp_path / "long", tmp_path / "run", family="opn", **flags)
    assert "1 of fewer than 16 frames left out" in capsys.readouterr().out
    train(tmp_path / "short", tmp_path / "trn", family="trn", **flags)  # half-seconds shrink
    # An untrained network without a held-out video has nothing to tell.
    flags = dict(loss="rotation", steps=0, held_out=0, decoder="pyav")
    assert train(tmp_path / "short", tmp_path / "untrained", family="single", **flags) == []
    assert "left out" not in capsys.readouterr().out
