"""Linear read-outs by the command, of videos and of still images; and bad input."""

import json
import os
import re
import shutil
import signal

import numpy as np
import pytest
import small_networks
import tensorflow as tf
from make_videos import picture, write_video
from PIL import Image
from words import vie_tf

from data_prep import moving_digits
from vie_tf.commands import mode_readout
from vie_tf.data.splits import training_split
from vie_tf.data.videos import open_videos
from vie_tf.errors import InputError
from vie_tf.evaluation import readout
from vie_tf.evaluation.taps import find_taps
from vie_tf.models import families
from vie_tf.training.linear_classifiers import ReadOut, train_read_outs
from vie_tf.training.optimizer import Momentum
from vie_tf.training.watch import Watch

RUN = ("--image_size=32", "--batch_size=8", "--seed=3", "--precision=float32", "--steps=0")
TRAIN = ("--mode=readout", "--batch_size=8", "--log_every=1")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Moving digits of two classes, 24 to train on and 12 to test with."""
    folder = tmp_path_factory.mktemp("digits")
    moving_digits.make(str(folder), seed=0, limit=36)
    rows = [line.split(",") for line in (folder / "videos.csv").read_text().splitlines()]
    lines = ["path,label,split"]
    for number, row in enumerate(rows[1:]):
        lines.append(f"{row[0]},{'ab'[number % 2]},{'test' if number % 3 == 2 else 'train'}")
    (folder / "videos.csv").write_text("\n".join(lines))
    return folder / "videos.csv"


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """An untrained network of single frames."""
    workdir = tmp_path_factory.mktemp("runs") / "run"
    vie_tf(f"--data={data}", f"--workdir={workdir}", *RUN)
    return workdir


@pytest.fixture
def work(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def slow(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "slow"
    vie_tf(f"--data={data}", f"--workdir={workdir}", *RUN, "--family=slow", "--frame_interval=4")
    return workdir


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A CSV of a miniature tree of two classes: bright and dark."""
    folder = tmp_path_factory.mktemp("images")
    rows = ["path,label,split"]
    for number in range(24):
        split, label = "test" if number % 3 == 2 else "train", "bright" if number % 2 else "dark"
        (folder / split / label).mkdir(parents=True, exist_ok=True)
        name = f"{split}/{label}/{number}.png"
        Image.fromarray(picture(number) // (1 if number % 2 else 4)).save(folder / name)
        rows.append(f"{name},{label},{split}")
    (folder / "images.csv").write_text("\n".join(rows))
    return folder / "images.csv"


def results(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def metrics(folder):
    (file,) = folder.glob("readout/*/metrics.jsonl")
    return list(map(json.loads, file.read_text().splitlines()))


def readout_of(classes=3):
    network = families.build("single", image_size=32)
    return ReadOut(network, find_taps(network, ["conv4", "conv5-avg"], 18), classes, seed=5)


def a_batch(model, count=6):
    clip = np.random.default_rng(1).integers(0, 256, (count, *model.frozen.input.shape[1:]))
    return {
        "clip": tf.constant(clip, tf.uint8),
        "label": tf.constant([0, 1, 2, 0, 1, 2][:count], tf.int64),
        "seed": tf.constant([[7, i] for i in range(count)], tf.int32),
    }


def test_a_step_is_that_of_numpy(monkeypatch):
    """Logits, the sum of the losses, gradients and two steps of momentum with the penalty."""
    monkeypatch.setattr("vie_tf.training.linear_classifiers.colour_noise", lambda clip, *_: clip)
    model = readout_of()
    batch, rate, decay = a_batch(model), 0.5, 0.01
    frozen = [w.numpy() for w in model.frozen.weights]
    features = {k: v.numpy().astype("f8") for k, v in model.features(batch["clip"]).items()}
    assert {k: v.shape[1] for k, v in features.items()} == {"conv4": 16 * 4, "conv5-avg": 16}
    layers = [model.network.get_layer(f"{name}_logits") for name in features]
    for layer in layers:  # biases too are decayed
        layer.bias.assign(tf.constant([0.3, -0.2, 0.1]))
    weights = [[np.asarray(w, "f8") for w in layer.get_weights()] for layer in layers]
    slots = [[np.zeros_like(w) for w in of_tap] for of_tap in weights]
    model.compile(Momentum(rate, l2=decay))
    targets = np.eye(3)[batch["label"].numpy()]
    for _ in range(2):
        expected = 0
        for x, (kernel, bias), (kernel_slot, bias_slot) in zip(features.values(), weights, slots):
            logits = x @ kernel + bias  # small ones
            logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
            p = np.exp(logits)
            expected -= (logits * targets).sum(axis=1).mean()
            wrong = (p - targets) / len(x)
            for slot in (kernel_slot, bias_slot):
                slot *= 0.9
            kernel_slot += x.T @ wrong + decay * kernel
            bias_slot += wrong.sum(axis=0) + decay * bias
            kernel -= rate * kernel_slot
            bias -= rate * bias_slot
        logs = model.take_step(batch)
        assert float(logs["loss"]) == pytest.approx(expected, rel=1e-4)
        for layer, (kernel, bias) in zip(layers, weights):
            np.testing.assert_allclose(layer.kernel, kernel, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(layer.bias, bias, rtol=1e-3, atol=1e-4)
    assert all((old == new.numpy()).all() for old, new in zip(frozen, model.frozen.weights))


def test_initial_weights():
    """Truncated normal of variance 2 / D and bias 0, by the seed, another for each tap."""
    with small_networks.real():
        model, again = readout_of(classes=50), readout_of(classes=50)
    kernel, bias = model.network.get_layer("conv4_logits").get_weights()
    assert kernel.std() == pytest.approx(np.sqrt(2 / 1024), rel=0.02) and not bias.any()
    assert np.abs(kernel).max() < 2.3 * np.sqrt(2 / 1024)
    np.testing.assert_array_equal(kernel, again.network.get_layer("conv4_logits").kernel)
    other, _ = model.network.get_layer("conv5-avg_logits").get_weights()
    assert abs(np.corrcoef(other.ravel(), kernel[:512].ravel())[0, 1]) < 0.1


def test_trained_read_outs_tell_bright_from_dark(images, work, capsys):
    """Of still images, by the augmentation of images, whose tests see one centre crop."""
    words = ("--steps=30", "--learning_rate=0.003", "--taps=conv2,conv5", "--evaluate_every=10")
    vie_tf(*TRAIN, f"--data={images}", f"--workdir={work}", *words)
    said = capsys.readouterr()
    assert "16 still images to train on, 8 to test" in said.out and "ETA" in said.err
    (line,) = results(work)
    assert (line["kind"], line["videos"], line["clips"], line["classes"]) == ("readout", 8, 1, 2)
    assert (line["augmentation"], line["family"], line["step"]) == ("imagenet", "single", 0)
    assert line["learning"]["learning_rate"] == "0.003" and "seed" not in line["learning"]
    assert list(line["taps"]) == ["conv2", "conv5"]
    for name, found in line["taps"].items():
        assert found["top1_low"] <= found["top1"] <= found["top1_high"] and found["top5"] == 1
        assert found["top5_low"] == found["top5_high"] == 1
        assert f"{name} {found['top1']:.4f}" in said.out.replace("  ", " ")
    assert line["taps"]["conv2"]["top1"] == 1
    (folder,) = (work / "readout").iterdir()
    with np.load(folder / "best.npz") as best, np.load(folder / "last.npz") as last:
        assert last["step"] == 30 and best["step"] in (10, 20, 30) and best["top1"] <= 1
        assert best["conv5_kernel"].shape == last["conv5_kernel"].shape == (16, 2)


@pytest.mark.parametrize("cached", [[], ["--cached"]])
def test_clips_of_a_multi_frame_family_and_ten_crops_of_images(images, slow, tmp_path, cached):
    work = tmp_path / "run"
    shutil.copytree(slow, work)
    words = ("--mode=readout", f"--data={images}", f"--workdir={work}")
    training = "--steps=20 --batch_size=8 --learning_rate=0.003 --evaluate_every=10".split()
    vie_tf(*words, "--ten_crop", "--taps=conv2", *(cached or training))
    (line,) = results(work)
    assert line["taps"]["conv2"]["top1"] == 1 and line["ten_crop"]


def test_stopped_training_goes_on_to_the_same_numbers(data, run, tmp_path, monkeypatch, capsys):
    words = (*TRAIN, f"--data={data}", "--steps=6", "--evaluate_every=3", "--taps=conv5")
    whole, halves = (shutil.copytree(run, tmp_path / name) for name in ("whole", "halves"))
    vie_tf(*words, f"--workdir={whole}")
    ends = Watch.on_train_batch_end

    def stop_at_3(watch, batch, logs=None):
        if watch.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        ends(watch, batch, logs)

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(Watch, "on_train_batch_end", stop_at_3)
        vie_tf(*words, f"--workdir={halves}")
    assert "the same command goes on" in capsys.readouterr().err
    assert not (halves / "results.jsonl").exists()
    vie_tf(*words, f"--workdir={halves}")
    assert "going on from step 3" in capsys.readouterr().err
    losses = [[line["loss"] for line in metrics(x) if "loss" in line] for x in (whole, halves)]
    assert losses[0] == losses[1] and len(losses[0]) == 6
    assert results(whole) == results(halves)
    vie_tf(*words, f"--workdir={halves}", "--seed=4", "--steps=1")  # others, beside them
    assert len(list((halves / "readout").iterdir())) == 2 and len(results(halves)) == 2


def test_the_rate_drops_on_a_plateau(data, work):
    words = ("--steps=9", "--lr_plateau=1", "--evaluate_every=1", "--learning_rate=1e-9")
    vie_tf(*TRAIN, f"--data={data}", f"--workdir={work}", *words, "--taps=conv5-avg")
    rates = [line["learning_rate"] for line in metrics(work) if "learning_rate" in line]
    assert rates[0] == pytest.approx(1e-9) and rates[-1] == pytest.approx(1e-11)


def test_two_replicas_learn_what_one_does(data, run, tmp_path, monkeypatch, replicas):
    words = f"--data={data} --steps=2 --clips=1 --taps=conv5 --colour_noise=0,0,0,0,0".split()
    one, two = (shutil.copytree(run, tmp_path / name) for name in ("one", "two"))
    vie_tf(*TRAIN, *words, f"--workdir={one}")
    monkeypatch.setattr(mode_readout, "strategy", lambda: replicas)
    vie_tf(*TRAIN, *words, f"--workdir={two}")
    losses = [[line["loss"] for line in metrics(x) if "loss" in line] for x in (one, two)]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_cached_features_are_computed_once(data, work, monkeypatch, capsys):
    words = ("--mode=readout", "--cached", f"--data={data}", f"--workdir={work}")
    vie_tf(*words, "--taps=conv4,conv5", "--clips=2")
    files = {path: path.stat().st_mtime_ns for path in (work / "readout").rglob("*.npy")}
    assert sorted(path.stem for path in files) == ["conv4", "conv4", "conv5", "conv5"]
    shapes = {np.load(path).shape for path in files}
    assert shapes == {(48, 64), (48, 16), (24, 64), (24, 16)}
    other = data.parent / "other_labels.csv"
    other.write_text(data.read_text().replace(",a,", ",x,"))
    vie_tf(*words[:2], f"--data={other}", words[3], "--taps=conv5,conv5-avg", "--clips=2")
    again = {path: path.stat().st_mtime_ns for path in (work / "readout").rglob("*.npy")}
    assert again.items() >= files.items() and len(again) == 6
    vie_tf(*words, "--taps=conv5", "--clips=0")
    assert [list(line["taps"]) for line in results(work)] == [
        ["conv4", "conv5"],
        ["conv5", "conv5-avg"],
        ["conv5"],
    ]


def test_features_are_those_of_the_weights(data, tmp_path, capsys):
    """And not those that another network of the same kind and step had before."""
    work, found = tmp_path / "run", []
    for seed in (0, 1):
        shutil.rmtree(work / "checkpoints", ignore_errors=True)
        (work / "flags.txt").unlink(missing_ok=True)
        vie_tf(
            *("--mode=pretrain", f"--data={data}", f"--workdir={work}", "--steps=0"),
            *("--image_size=32", "--batch_size=8", f"--seed={seed}"),
        )
        vie_tf("--mode=readout", "--cached", f"--data={data}", f"--workdir={work}", "--clips=1")
        found.append({path: np.load(path) for path in (work / "readout").rglob("conv5.npy")})
    first, both = found
    assert len(first) == 2 and len(both) == 4
    train = [x for x in both.values() if len(x) == 24]
    assert train[0].shape == train[1].shape and not np.allclose(*train)


@pytest.mark.parametrize(
    "way", [["--cached"], pytest.param(["--steps=2", "--batch_size=8"], marks=pytest.mark.slow)]
)
def test_two_streams_and_input_single(data, work, slow, way):
    words = ("--mode=readout", f"--data={data}", f"--workdir={work}", "--taps=conv5", *way)
    vie_tf(*words, f"--second_workdir={slow}", "--clips=2")
    vie_tf(*words, "--frames_of=slow", "--frame_interval=4", "--clips=2")
    both, control = results(work)
    assert both["second_workdir"] == str(slow) and control["frames_of"] == "slow"
    files = (work / "readout").rglob("conv5.npy" if way == ["--cached"] else "last.npz")
    widths = {_values(path) for path in files}
    assert widths == {16, 32}  # of one stream's Conv5, and of both


def _values(path):
    content = np.load(path)
    return content.shape[1] if path.suffix == ".npy" else content["conv5_kernel"].shape[0]


def rewritten(data, change):
    """The CSV with another list of (path, label, split), beside it."""
    rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
    out = data.parent / "changed.csv"
    out.write_text("\n".join(["path,label,split", *(",".join(row) for row in change(rows))]))
    return out


def relabelled(which, label):
    def change(rows):
        for row in [row for row in rows if row[2] == which[0]][: which[1]]:
            row[1] = label
        return rows

    return change


@pytest.mark.parametrize(
    "change, says",
    [
        (
            lambda rows: [[path, "", split] for path, _, split in rows],
            "24 of 24 training videos",
        ),
        (lambda rows: [[path, label, ""] for path, label, _ in rows], "no train and test split"),
        (relabelled(("train", 3), ""), "3 of 24 training videos have no label"),
        (
            relabelled(("test", 2), "new"),
            "no training video has the label .*: new;",
        ),
        (
            lambda rows: [[path, "a", split] for path, _, split in rows],
            "have one label",
        ),
        (lambda rows: rows + [["one.png", "a", "train"]], "1 of 37 videos .* still images"),
    ],
)
def test_videos_that_do_not_do(data, slow, change, says):
    Image.fromarray(picture(1)).save(data.parent / "one.png")
    table = rewritten(data, change)
    with pytest.raises(InputError, match=says):
        vie_tf(*TRAIN, f"--data={table}", f"--workdir={slow}")
    assert not (slow / "readout").exists() and not (slow / "results.jsonl").exists()


def test_classes_of_no_test_video_or_one_training_video_are_named(data, work, capsys):
    table = rewritten(data, relabelled(("train", 1), "lonely"))
    vie_tf("--mode=readout", "--cached", f"--data={table}", f"--workdir={work}", "--clips=1")
    said = capsys.readouterr().err
    assert "no test video of lonely" in said and "only one training video of lonely" in said
    assert results(work)[0]["classes"] == 3


def test_a_class_of_one_training_video_is_not_held_out(data, work, monkeypatch):
    table = rewritten(data, relabelled(("train", 1), "lonely"))
    videos, learned = open_videos(str(table)), []
    drawn = training_split(videos.subset(videos.splits == "train"), 0.8, 0)[1]
    assert "lonely" in drawn.names and len(drawn) == 19

    def train(model, part, held_out, *rest):
        learned.extend([set(part.names.tolist()), len(held_out)])
        train_read_outs(model, part, held_out, *rest)

    monkeypatch.setattr(readout, "train_read_outs", train)
    words = ("--steps=1", "--held_out=0.8", "--taps=conv5-avg", "--clips=1")
    vie_tf(*TRAIN, f"--data={table}", f"--workdir={work}", *words)
    assert learned == [{"a", "b", "lonely"}, 19]


def test_test_videos_that_are_trained_on_are_counted(data, work, capsys):
    """Under other names; videos that are equally long are not enough."""
    rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
    train = [row for row in rows if row[2] == "train"]
    for number, row in enumerate(train[:3]):
        shutil.copy(data.parent / row[0], data.parent / f"copy{number}.mp4")
    copies = [[f"copy{i}.mp4", row[1], "test"] for i, row in enumerate(train[:3])]
    for number, name in enumerate(("left.mp4", "right.mp4")):
        path = data.parent / name
        write_video(path, frames=12 + number)
        other = path.read_bytes()
        path.write_bytes(other + bytes(20_000 - len(other)))
    table = rewritten(data, lambda rows: [*rows, *copies, ["left.mp4", "a", "train"]])
    words = ("--mode=readout", "--cached", f"--workdir={work}", "--clips=1", "--taps=conv5")
    vie_tf(*words, f"--data={table}")
    assert "3 of 15 test videos are in the training set" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, says",
    [
        (["--taps=conv9"], "no tap conv9; choose from .*conv1, conv2, .*encode_7"),
        (["--taps=conv5,conv5"], "each of them once"),
        (["--taps="], "name one or more"),
        (["--family=slow"], "trained with --family=single"),
        (["--cached", "--learning_rate=1"], "--learning_rate is not for --cached"),
        (["--lr_plateau=1", "--held_out=0"], "give --held_out"),
        (["--second_workdir={run}"], "single frames too"),
    ],
)
def test_flags_that_do_not_do(data, run, words, says, capsys):
    words = [word.format(run=run) for word in words]
    with pytest.raises((InputError, SystemExit)) as error:
        vie_tf("--mode=readout", f"--data={data}", f"--workdir={run}", *words)
    assert re.search(says, f"{error.value} {capsys.readouterr().err}")


def test_a_checkpoint_of_another_family(data, run, slow, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    shutil.copytree(slow / "checkpoints", tmp_path / "run" / "checkpoints")
    with pytest.raises(
        InputError, match="no checkpoint can be read: they are damaged, or of another network"
    ):
        vie_tf(*TRAIN, f"--data={data}", f"--workdir={tmp_path / 'run'}")
