"""An objective of a user's own is trained by the command, with its flags, phases and state."""

import json
import subprocess
import sys
from pathlib import Path

import tensorflow as tf

TOY = Path(__file__).with_name("toy_objective.py")
SMALL = "--image_size=32 --batch_size=8 --steps=4 --save_every=2 --log_every=1".split()


def run(*words):
    command = [sys.executable, str(TOY), *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=TOY.parent.parent)


def test_a_toy_objective_in_one_file(prepared, tmp_path):
    words = ("--loss=toy", f"--data={prepared}", f"--workdir={tmp_path}", *SMALL)
    done = run(*words, "--precision=float32")
    assert done.returncode == 0, done.stderr
    assert "strength 1.0" in done.stdout and "learning_rate 0.01" in done.stdout
    assert "--strength=1.0" in (tmp_path / "flags.txt").read_text().splitlines()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 4 and losses[-1] < losses[0]
    assert any("length" in line and "recall_at_1" in line for line in lines)
    names = dict(tf.train.list_variables(str(tmp_path / "checkpoints")))
    assert names["pulled/mean/.ATTRIBUTES/VARIABLE_VALUE"] == [128]
    more = run(*words, "--precision=float32", "--steps=5")
    assert more.returncode == 0 and "going on from step 4" in more.stderr, more.stderr
    other = run(*words, "--precision=float32", "--strength=3")
    assert other.returncode == 1 and "--strength=1.0, not 3.0" in other.stderr


def test_its_flag_is_of_its_own_loss(tmp_path):
    done = run("--loss=ir", "--data=x", f"--workdir={tmp_path}", "--strength=2")
    assert done.returncode == 1 and "--strength is for --loss=toy, not --loss=ir" in done.stderr
    said = run("--mode=pretrain", "--help").stdout
    assert "Of the pull. Default: by the videos. For --loss=toy." in said
