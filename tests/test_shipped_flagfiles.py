"""Flagfiles are found by name in any folder, and come with the wheel."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from words import parse

from vie_tf.commands import command, flags, version
from vie_tf.commands.flagfiles import SHIPPED, expanded
from vie_tf.errors import InputError

ROOT = Path(__file__).resolve().parents[1]


def test_by_name_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("vie_slow", "vie_slow.flags", "flags/vie_slow.flags"):
        parse("--data=x", "--workdir=y", f"--flagfile={name}", "--seed=5")
        assert (flags.FLAGS.family, flags.FLAGS.loss, flags.FLAGS.seed) == ("slow", "vie", 5)
    parse("--flagfile", "table3/vie_single_5bin_kinetics", "--data=x")  # which names another
    assert flags.FLAGS.mode == "readout" and flags.FLAGS.workdir == "runs/vie_single_5bin"


def test_a_file_of_ones_own_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("vie_slow").write_text("# mine\n\n--seed=7\n// --seed=8\n")
    Path("other").write_text("--flagfile=vie_slow\n--k=3\n")
    assert expanded(["vie_tf", "--flagfile=other", "--k=4"]) == [
        "vie_tf",
        "--seed=7",
        "--k=3",
        "--k=4",
    ]
    assert expanded(["--", "--flagfile=nothing"]) == ["--", "--flagfile=nothing"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded(["--flagfile=~/vie_slow"]) == ["--seed=7"]


@pytest.mark.parametrize(
    "words, says",
    [
        (["--flagfile=vie_singel"], "did you mean vie_single"),
        (["--flagfile=zzzzzzzz"], "nor a name of one that comes with vie_tf; they are in"),
        (["--flagfile"], "give a file"),
        (["--flagfile=loop"], "contains itself"),
        (["--flagfile=binary"], "cannot be read"),
    ],
)
def test_what_cannot_be_found_is_one_line(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("loop").write_text("--flagfile=loop\n")
    Path("binary").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=says):
        expanded(words)
    with pytest.raises(SystemExit):
        parse("--data=x", "--workdir=y", *words)
    assert says in capsys.readouterr().err


def test_what_an_import_says_is_shown_if_it_fails(capfd):
    """And else not."""
    with command.silence():
        os.write(2, b"noise\n")
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError), command.silence():
        os.write(2, b"reason\n")
        raise ImportError
    assert capfd.readouterr().err == "reason\n"


def test_version_tells_the_releases(capsys):
    said = version.text().splitlines()
    assert said[0].startswith("vie_tf ") and "TensorFlow 2." in said[1] and "numpy" in said[2]
    assert said[3].startswith("GPU libraries: ")


@pytest.mark.slow
def test_the_wheel_has_them(tmp_path):
    words = ("pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={tmp_path}", str(ROOT))
    subprocess.run([sys.executable, "-m", *words], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        names = set(files.namelist())
    kept = {f"vie_tf/flags/{x.relative_to(SHIPPED)}" for x in SHIPPED.rglob("*.flags")}
    assert len(kept) > 50 and kept <= names and "vie_tf/report/paper.csv" in names
    assert not any(name.startswith(("tests", "benchmarks")) for name in names)
