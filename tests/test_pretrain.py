"""--mode=pretrain on small real videos: what a run leaves, and what repeats it."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import small_networks
import tensorflow as tf
from matplotlib import image
from words import TRAIN, parse, vie_tf

from vie_tf.commands import given_run
from vie_tf.data.augmentation import AUGMENTATIONS
from vie_tf.data.crops import TEN
from vie_tf.data.splits import subset_rows, training_split
from vie_tf.data.videos import open_videos
from vie_tf.errors import InputError
from vie_tf.runs import results
from vie_tf.training import run


def test_training_leaves_what_is_promised(trained):
    metrics = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    steps = {line["step"] for line in metrics}
    assert {0, 6} <= steps
    last = {key: value for line in metrics if line["step"] == 6 for key, value in line.items()}
    assert {"loss", "clips_per_second", "data_wait", "recall_at_1", "knn_top1"} <= set(last)
    assert 0 <= last["data_wait"] <= 1 and last["effective_dimension"] > 1
    assert list((trained / "tensorboard").iterdir())
    assert image.imread(trained / "curves.png").ndim == 3
    assert len(list((trained / "checkpoints").glob("*.index"))) == 3


def test_flags_txt_repeats_the_run(trained, tmp_path):
    words = (f"--flagfile={trained / 'flags.txt'}", f"--workdir={tmp_path}")
    vie_tf(*words)
    again, first = (
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (tmp_path, trained)
    )
    assert [line.get("loss") for line in again] == [line.get("loss") for line in first]


def test_a_finished_run_can_be_made_longer(trained, digits, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    words = (f"--data={digits}", f"--workdir={tmp_path / 'run'}", "--steps=8", *TRAIN)
    vie_tf("--mode=pretrain", *words, "--evaluate_every=8")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 8


def test_local_aggregation_after_instance_recognition(digits, tmp_path, capsys):
    """Two clusterings at a time."""
    words = "--loss=vie --steps=10 --ir_steps=4 --clusters=5,3 --cluster_every=4"
    words = (*words.split(), "--lr_plateau=1", "--evaluate_every=6", "--bank_precision=bfloat16")
    words = (f"--data={digits}", *words, *TRAIN)
    vie_tf(f"--workdir={tmp_path / 'run'}", *words)
    assert "neighbours" in (said := capsys.readouterr()).out and "(0 empty)" in said.err
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in lines]
    clusterings = [line for line in lines if "clusters" in line]
    assert [line["step"] for line in clusterings] == [5, 9]
    assert all(line["clusters"] == 8 and line["cluster_largest"] > 1 for line in clusterings)
    aggregating = [line for line in lines if "close" in line]
    assert aggregating and all(line["step"] > 4 and 0 < line["close"] < 1 for line in aggregating)


@pytest.mark.slow
@pytest.mark.parametrize("sharded, ends", [(True, [5]), (True, [4, 7]), (False, [4, 7])])
def test_the_command_on_two_replicas(digits, tmp_path, monkeypatch, replicas, sharded, ends):
    """Trains, goes on, and others search with what came out."""
    monkeypatch.setattr(run, "strategy", lambda: replicas)
    words = "--loss=vie --ir_steps=2 --clusters=4 --cluster_every=2 --noise_samples=16"
    words = (*words.split(), f"--shard_bank={sharded}", "--log_every=1", f"--data={digits}", *TRAIN)
    for end in ends:
        rarely = ("--save_every=50", "--evaluate_every=50")
        vie_tf(*words, f"--workdir={tmp_path}", f"--steps={end}", *rarely)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, end + 1))
    assert [line["step"] for line in lines if "clusters" in line] == list(range(3, end + 1, 2))
    assert all(np.isfinite(line["loss"]) for line in lines if "loss" in line)
    vie_tf("--mode=knn", f"--data={digits}", f"--workdir={tmp_path}", "--k=5")
    vie_tf("--mode=knn", f"--data={digits}", f"--workdir={tmp_path}", "--k=5", "--bank")
    *_, retrieval, _, of_bank = results.read(tmp_path)
    assert retrieval["searched"] == "train" and of_bank["searched"] == "bank"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, noise", [("multi_scale", "0,0,0,0,0"), ("simclr", "0.6,0.6,0.6,0.15,0.2")]
)
def test_an_augmentation_is_kept_with_its_run(name, noise, digits, tmp_path, capsys):
    words = (f"--data={digits}", f"--workdir={tmp_path}", f"--augmentation={name}", *TRAIN)
    vie_tf("--mode=pretrain", *words, "--steps=2", "--evaluate_every=2", "--save_every=2")
    assert f"colour_noise {noise}" in capsys.readouterr().out
    kept = (tmp_path / "flags.txt").read_text().splitlines()
    assert {f"--augmentation={name}", f"--colour_noise={noise}"} <= set(kept)
    with pytest.raises(InputError, match=f"--augmentation={name}"):
        vie_tf("--mode=pretrain", *words, "--augmentation=imagenet", "--steps=4")
    parse("--mode=knn", f"--data={digits}", f"--workdir={tmp_path}")
    assert given_run.load().clips.crops == AUGMENTATIONS[name].test
    parse("--mode=knn", f"--data={digits}", f"--workdir={tmp_path}", "--ten_crop")
    assert given_run.load().clips.crops == TEN


def test_without_labels_or_split_a_share_is_held_out(digits, tmp_path, capsys):
    folder = tmp_path / "plain"
    shutil.copytree(digits.parent / "videos", folder)
    vie_tf(
        "--mode=pretrain", f"--data={folder}", f"--workdir={tmp_path / 'run'}", "--steps=0", *TRAIN
    )
    said = capsys.readouterr()
    assert "36 videos to train on, 4 held out" in said.out
    first = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["step"] == 0 and "recall_at_1" in first and "knn_top1" not in first


@pytest.mark.slow
@pytest.mark.parametrize("legacy", [True, False])
def test_a_subset_in_bins_has_a_row_of_the_bank_for_each(digits, tmp_path, capsys, legacy):
    videos = open_videos(str(digits))
    train, _ = training_split(videos, 0.1, 3)
    chosen = train.subset(subset_rows(len(train), 0.5, 3, legacy))
    rows = sum(-(-n // 10) for n in chosen.frames.tolist())
    words = [f"--data={digits}", f"--workdir={tmp_path}", f"--legacy={legacy}"]
    words += ["--subset=0.5", "--bin_frames=10", "--evaluate_every=9", *TRAIN]
    vie_tf(*words, "--steps=2")
    said = capsys.readouterr().out
    assert f"; {len(set(chosen.ids))} videos drawn to train on; {rows} bins; " in said
    newest = tf.train.latest_checkpoint(tmp_path / "checkpoints")
    shapes = [shape for name, shape in tf.train.list_variables(newest) if "bank/rows/" in name]
    assert shapes and all(shape == [rows, 128] for shape in shapes)
    vie_tf(*words, "--steps=3")
    assert "going on from step 2" in capsys.readouterr().err
    vie_tf("--mode=knn", *words[:2], "--k=5")


@pytest.mark.slow
def test_compiled_by_choice_a_run_goes_on(trained, digits, tmp_path):
    """In a process of its own: what asked for determinism before does so for good."""
    shutil.copytree(trained, tmp_path / "run")
    words = (f"--data={digits}", f"--workdir={tmp_path / 'run'}", *TRAIN, "--log_every=1")
    command = [*small_networks.COMMAND, *words, "--steps=8", "--xla"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "trained 8 steps" in done.stdout, done.stderr
    shutil.copytree(trained, tmp_path / "plain")
    words = (f"--data={digits}", f"--workdir={tmp_path / 'plain'}", *TRAIN, "--log_every=1")
    vie_tf(*words, "--steps=8")
    for one, other in zip(*(losses(tmp_path / name) for name in ("run", "plain"))):
        np.testing.assert_allclose(one, other, rtol=0.02)


def losses(run):
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]
