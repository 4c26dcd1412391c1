"""An objective of a user's own is trained by the command, with its flags, phases and state."""

from __future__ import annotations

import dataclasses
import json
import runpy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import tensorflow as tf
from words import parse, vie_tf

import vie_tf.commands.flags as flags
from vie_tf.errors import InputError
from vie_tf.objectives.objective import Objective
from vie_tf.objectives.registry import OBJECTIVES
from vie_tf.runs import workdir
from vie_tf.settings import Settings, made, setting
from vie_tf.training.defaults import complete

TOY = Path(__file__).with_name("toy_objective.py")
SMALL = "--image_size=32 --batch_size=8 --steps=4 --save_every=2 --log_every=1 --clips=2".split()


SCRIPT = f"""
import runpy, sys
sys.path.insert(0, {str(TOY.parent)!r})
import small_networks
small_networks.use()
runpy.run_path({str(TOY)!r}, run_name="__main__")
"""


def run(*words):
    command = [sys.executable, "-c", SCRIPT, *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=TOY.parent.parent)


def test_a_toy_objective_in_one_file(prepared, tmp_path, monkeypatch, request, capsys):
    words = ("--loss=toy", f"--data={prepared}", f"--workdir={tmp_path}", *SMALL)
    done = run(*words, "--precision=float32")
    assert done.returncode == 0, done.stderr
    for noise in ("microseconds", "Callback method", "retracing"):
        assert noise not in done.stderr
    assert "strength 1.0" in done.stdout and "learning_rate 0.01" in done.stdout
    assert "--strength=1.0" in (tmp_path / "flags.txt").read_text().splitlines()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 4 and losses[-1] < losses[0]
    assert any("length" in line and "recall_at_1" in line for line in lines)
    names = dict(tf.train.list_variables(str(tmp_path / "checkpoints")))
    assert names["pulled/mean/.ATTRIBUTES/VARIABLE_VALUE"] == [128]
    monkeypatch.setitem(OBJECTIVES, "toy", None)  # taken out again at the end
    flags.define(dataclasses.fields(runpy.run_path(str(TOY))["Toy"])[0])
    request.addfinalizer(lambda: delattr(flags.FLAGS, "strength"))
    flags.FLAGS["loss"].parser.enum_values.append("toy")
    request.addfinalizer(lambda: flags.FLAGS["loss"].parser.enum_values.remove("toy"))
    vie_tf(*words, "--precision=float32", "--steps=5")
    assert "going on from step 4" in capsys.readouterr().err
    vie_tf("--mode=knn", f"--data={prepared}", f"--workdir={tmp_path}", "--clips=1")
    vie_tf("--mode=report", f"--workdirs={tmp_path}", f"--out={tmp_path / 'report'}")
    assert "toy-Single" in (tmp_path / "report" / "report.md").read_text()
    with pytest.raises(InputError, match="--strength=1.0, not 3.0"):
        vie_tf(*words, "--precision=float32", "--strength=3")


def test_its_flag_is_of_its_own_loss(tmp_path):
    done = run("--loss=ir", "--data=x", f"--workdir={tmp_path}", "--strength=2")
    assert done.returncode == 1 and "--strength is for --loss=toy, not --loss=ir" in done.stderr
    said = run("--mode=pretrain", "--help").stdout
    assert "Of the pull. Default: by the videos. For --loss=toy." in said


def test_settings_are_read_as_they_were_written(tmp_path):
    for loss, kind in OBJECTIVES.items():
        asked = Settings(objective=kind(), loss=loss)
        asked = asked.but(data="x", held_out=0.25, image_size=32, flip=False, lr_boundaries=(3, 5))
        if loss == "vie":
            asked = asked.but(clusters=(7, 8), temperature=0.5, ir_lr_boundaries=(1, 2))
        workdir.write_run(tmp_path, asked, {"fingerprint": "x"})
        assert workdir.read_settings(tmp_path) == asked
    lines = (tmp_path / "flags.txt").read_text()
    (tmp_path / "flags.txt").write_text(lines.replace("--batch_size=64", "--batch_size=many"))
    with pytest.raises(InputError, match="damaged, or of another version .*many"):
        workdir.read_settings(tmp_path)


@pytest.mark.parametrize(
    "values, says",
    [
        ({"imagesize": 7}, "no settings imagesize"),
        ({"batch_size": 0}, "--batch_size takes numbers from 1 on, not 0"),
        ({"batch_size": 1.5}, "--batch_size=1.5: give int values"),
        ({"held_out": 2.0}, "up to 0.9"),
        ({"decoder": "mpeg"}, "choose one of auto"),
        ({"lr_boundaries": (5, 3)}, "ascending order"),
        ({"clusters": (0,), "loss": "la"}, "--clusters takes numbers from 1 on"),
    ],
)
def test_settings_that_cannot_be_are_one_line(values, says):
    with pytest.raises(InputError, match=says):
        made({"loss": "ir", **values}, OBJECTIVES)


@dataclass(frozen=True)
class Slower(Objective):
    """One with a learning rate of its own."""

    def constants(self, videos, batch_size):
        return {"learning_rate": 0.5}


def test_an_objective_has_defaults_of_settings_that_all_have():
    settings, _ = complete(Settings(objective=Slower(), loss="slower"), (), 100)
    assert settings.schedule.learning_rate == 0.5
    settings, _ = complete(Settings(objective=Slower()).but(learning_rate=2.0), (), 100)
    assert settings.schedule.learning_rate == 2.0


@dataclass(frozen=True)
class Other(Objective):
    """One whose settings have names that others have."""

    temperature: float | None = setting(0.1, "Another.", kind=float, least=0.02)
    projection: int = setting(128, "Of the head.")


def test_an_objective_more_leaves_the_others_as_they_are(tmp_path, monkeypatch, request):
    before = Settings(objective=OBJECTIVES["ir"](temperature=0.2))
    workdir.write_run(tmp_path, before, {"fingerprint": "x"})
    monkeypatch.setitem(OBJECTIVES, "other", Other)
    workdir.check_run(tmp_path, before, {"fingerprint": "x"})
    flags.define(dataclasses.fields(Other)[1])
    request.addfinalizer(lambda: delattr(flags.FLAGS, "projection"))
    parse("--data=x", "--workdir=y")
    monkeypatch.setattr(flags.FLAGS["loss"], "value", "other")
    assert flags.settings().objective == Other(0.1, 128)


@dataclass(frozen=True)
class Unlike(Objective):
    projection: int = setting(128, "Of the head.", least=2)


@dataclass(frozen=True)
class Data(Objective):
    batch_size: int = setting(8, "Of its own.")


@pytest.mark.parametrize(
    "objectives, wrong",
    [
        ({"other": Other, "unlike": Unlike}, "projection of --loss=unlike"),
        ({"data": Data}, "batch_size of --loss=data"),
    ],
)
def test_a_setting_of_a_name_that_means_another_is_refused(objectives, wrong, monkeypatch):
    monkeypatch.setattr(flags, "FLAGS", ["batch_size"])
    monkeypatch.setattr(flags, "define", lambda setting: None)
    monkeypatch.setattr(flags, "OBJECTIVES", objectives)
    with pytest.raises(TypeError, match=f"the setting {wrong} is another one"):
        flags.define_objectives()
