"""`kill -9` at any moment, then the same command: the same losses, bit for bit."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import small_networks
import tensorflow as tf
from make_videos import write_video
from words import rewound, vie_tf

from vie_tf.errors import InputError
from vie_tf.training.watch import Watch

STEPS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for number in range(12):
        write_video(folder / f"{number:02}.mp4", frames=8 + number, width=48, height=40)
    return folder


def command(folder, workdir, *more):
    return [
        *small_networks.COMMAND,
        f"--data={folder}",
        f"--workdir={workdir}",
        "--image_size=32",
        "--batch_size=4",
        f"--steps={STEPS}",
        "--seed=11",
        "--log_every=1",
        "--save_every=2",
        "--evaluate_every=5",
        "--held_out=0.25",
        "--decoder=pyav",
        "--precision=float32",
        *more,
    ]


def train(folder, workdir, *more):
    """The command in this process, which has TensorFlow already; one that is killed has its own."""
    vie_tf(*command(folder, workdir, *more)[2:])


def losses(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    kept = ("loss", "recall_at_1", "effective_dimension", "learning_rate")
    return [(line["step"], [line.get(name) for name in kept]) for line in lines]


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """The run that is never killed."""
    workdir = tmp_path_factory.mktemp("whole")
    train(folder, workdir)
    expected = losses(workdir)
    assert [step for step, values in expected if values[0] is not None] == list(range(1, STEPS + 1))
    return expected


def kill_and_go_on(folder, workdir, rng, words=(), steps=STEPS):
    """Kills the run once it has written a drawn number of steps, a drawn moment later."""
    workdir.mkdir()
    run = subprocess.Popen(
        command(folder, workdir, *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wanted, metrics = rng.randrange(1, steps - 4), workdir / "metrics.jsonl"
    while run.poll() is None:
        if metrics.exists() and metrics.read_text().count('"loss"') >= wanted:
            break
        time.sleep(0.005)
    time.sleep(rng.uniform(0, 0.15))
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    train(folder, workdir, *words)
    return losses(workdir)


def test_killed_run_goes_on_bit_for_bit(folder, whole, tmp_path, capsys):
    found = kill_and_go_on(folder, tmp_path / "run", random.Random(0))
    assert found == whole and "going on from step" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_five_random_moments(folder, whole, tmp_path, seed):
    # A kill before the first checkpoint starts anew, which must make no difference either.
    assert kill_and_go_on(folder, tmp_path / "run", random.Random(seed)) == whole


# IR for 7 steps, then LA; clusterings after steps 7, 11, 15.., in use after 7, 13, 17...
PHASES = "--loss=vie --ir_steps=7 --clusters=3 --neighbours=4 --cluster_every=4 --cluster_lag=2"
LAST = 18


@pytest.mark.slow
@pytest.mark.parametrize("stops", [(7, 12), (6, 8, 11)], ids=str)
def test_clusterings_under_way_go_on_bit_for_bit(folder, tmp_path, monkeypatch, stops):
    """Stopped at the change of phase and while a clustering is pending; and next to these."""
    end = Watch.on_train_batch_end

    def stopping(name, stop):
        def stopped(watch, batch, logs=None):
            watch.interrupted = watch.step + 1 == stop
            end(watch, batch, logs)

        monkeypatch.setattr(Watch, "on_train_batch_end", stopped)
        words = (*PHASES.split(), "--save_every=50", "--evaluate_every=50", f"--steps={LAST}")
        train(folder, tmp_path / name, *words)

    for stop in stops:
        with pytest.raises(SystemExit):
            stopping("parts", stop)
    for name in ("parts", "whole"):
        stopping(name, None)
    whole, parts = (training_losses(tmp_path / name) for name in ("whole", "parts"))
    assert whole == parts and len(whole) == LAST
    # LA's loss is of close against background neighbours: some share of them is close.
    assert [step for step, _, close in whole if close is not None] == list(range(8, LAST + 1))
    assert any(0 < close < 1 for _, _, close in whole if close is not None)


@pytest.mark.slow
def test_the_rate_drops_on_a_plateau_also_after_going_on(folder, tmp_path):
    """In LA only, and at steps counted from its start."""
    shared = ("--loss=vie", "--ir_steps=2", "--clusters=2", "--save_every=7")
    plateau = (
        *shared,
        "--lr_plateau=1",
        "--evaluate_every=2",
        "--learning_rate=0.01",
        "--steps=14",
    )
    train(folder, tmp_path / "whole", *plateau)
    train(folder, rewound(tmp_path / "whole", 7, tmp_path / "parts"), *plateau)
    whole, parts = (rates(tmp_path / name) for name in ("whole", "parts"))
    assert whole == parts and len(set(whole)) > 1
    assert whole[:6] == [pytest.approx(0.01)] * 6 and sorted(whole, reverse=True) == whole
    listed = (*shared, "--lr_boundaries=2,4", "--learning_rate=0.01", "--evaluate_every=50")
    train(folder, tmp_path / "listed", *listed, "--steps=8")
    expected = [0.01] * 5 + [0.001] * 2 + [0.0001]
    np.testing.assert_allclose(rates(tmp_path / "listed"), expected, rtol=1e-5)


def rates(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line["learning_rate"] for line in lines if "learning_rate" in line]


def training_losses(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line.get("close")) for line in lines if "loss" in line]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6, 9))
def test_killed_in_local_aggregation(folder, tmp_path, seed):
    words = (*PHASES.split(), f"--steps={LAST}")
    train(folder, tmp_path / "whole", *words)
    found = kill_and_go_on(folder, tmp_path / "run", random.Random(seed), words, LAST)
    assert found == losses(tmp_path / "whole")


def test_interrupt_saves_and_says_so(folder, whole, tmp_path):
    run = subprocess.Popen(
        command(folder, tmp_path, "--save_every=1000"), stderr=subprocess.PIPE, text=True
    )
    while '"loss"' not in (
        (tmp_path / "metrics.jsonl").read_text() if (tmp_path / "metrics.jsonl").exists() else ""
    ):
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    said = run.communicate()[1]
    assert run.returncode == 130
    assert said.strip().splitlines()[-1].startswith("stopped at step")
    train(folder, tmp_path, "--save_every=1000")
    assert losses(tmp_path) == whole


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/shm").is_dir(), reason="needs a tiny disk")
def test_a_signal_during_an_evaluation_stops_after_the_next_step_and_saves(
    folder, tmp_path, monkeypatch
):
    evaluated = Watch.evaluated

    def interrupted(watch):
        if watch.step == 5:
            signal.raise_signal(signal.SIGINT)
        return evaluated(watch)

    monkeypatch.setattr(Watch, "evaluated", interrupted)
    with pytest.raises(SystemExit) as stopped:
        train(folder, tmp_path, "--save_every=100")
    assert stopped.value.code == 130
    assert tf.train.latest_checkpoint(tmp_path / "checkpoints").endswith("ckpt-6")


def test_full_disk_leaves_the_last_checkpoint_good(folder, whole, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)])
    if mounted.returncode:
        pytest.skip("may not mount a tiny disk here")
    try:
        with pytest.raises(InputError, match="^cannot save step .*; make room"):
            train(folder, disk / "run", "--keep=5")
        shutil.copytree(disk / "run", tmp_path / "run")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    train(folder, tmp_path / "run", "--keep=5")
    assert losses(tmp_path / "run") == whole
    assert not list((tmp_path / "run" / "checkpoints").glob("*temp*"))
