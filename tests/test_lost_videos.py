"""What crashes, hangs or cannot be read is tried once more, in both ways of preparing."""

from __future__ import annotations

import csv
import os
import sys

import pytest
from make_videos import write_video
from preparing import contents, outcome

from data_prep.pool import Lost
from data_prep.standardise import Standardised, Task, standardise

ODD = (
    "import sys; sys.path.insert(0, 'tests'); import odd_work; from data_prep import {0};"
    "{0}.standardise, {0}.PATIENCE = odd_work.odd_standardise, 2; {0}.run()"
)


@pytest.fixture(params=["videos", "beam"])
def program(request):
    if request.param == "beam":
        pytest.importorskip("apache_beam")
    return request.param


def prepare(start, source, out, *more):
    flags = (f"--source={source}", f"--out={out}", "--short_side=40", "--decoder=pyav", *more)
    return outcome([sys.executable, *start, *flags])


def reasons(folder):
    with open(folder / "manifest.csv", newline="") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def test_lost_once_leaves_no_trace(program, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "crash_once", "hang_once", "z"):
        write_video(tmp_path / "in" / f"{name}.mp4", frames=20)
    (tmp_path / "in" / "bad.mp4").write_bytes(b"x")
    code, _, error = prepare(["-c", ODD.format(program)], tmp_path / "in", tmp_path / "odd")
    assert code == 0, error
    assert ("tried again: 2\n" if program == "videos" else "retried 2\n") in error
    assert len(list((tmp_path / "in").glob("*.log"))) == 2
    code, _, error = prepare(["-m", f"data_prep.{program}"], tmp_path / "in", tmp_path / "out")
    assert code == 0 and "tried again" not in error, error
    assert contents(tmp_path / "odd") == contents(tmp_path / "out")


def test_lost_twice_is_tried_again_when_asked(program, tmp_path):
    (folder := tmp_path / "in").mkdir()
    names = ("a", "b", "crash", "hang", "z")
    for number, name in enumerate(names):
        write_video(folder / f"{name}.mp4", frames=20 + number)
    (folder / "bad.mp4").write_bytes(b"x")
    (folder / "unread.mp4").symlink_to("/proc/self/mem")  # whose first byte is an I/O error
    code, last, error = prepare(["-c", ODD.format(program)], folder, tmp_path / "odd")
    assert code == 0 and last.startswith("3 videos prepared, 4 skipped"), error
    why = reasons(tmp_path / "odd")
    assert why["crash.mp4"] == "the decoder crashed (exit code -11); tried twice"
    assert why["hang.mp4"] == "the decoder stood still for 2 s; tried twice"
    assert why["unread.mp4"] == "cannot be read: Input/output error; tried twice"
    assert "twice" not in why["bad.mp4"] and why["a.mp4"] == ""

    start = ["-m", f"data_prep.{program}"]
    code, whole, error = prepare(start, folder, tmp_path / "whole")
    assert code == 0 and whole.startswith("5 videos prepared, 2 skipped"), error
    code, last, _ = prepare(start, folder, tmp_path / "odd")
    assert code == 0 and f"(3 lost to storage or a crash: --again={tmp_path / 'odd'}" in last
    saved = {name: (folder / name).read_bytes() for name in ("a.mp4", "b.mp4", "z.mp4")}
    for name, content in saved.items():  # these are copied, not made again
        (folder / name).write_bytes(b"x" * len(content))
    again = f"--again={tmp_path / 'odd'}"
    code, last, error = prepare(start, folder, tmp_path / "new", again)
    assert code == 0, error
    assert contents(tmp_path / "new") == contents(tmp_path / "whole")

    code, _, error = prepare(start, folder, tmp_path / "odd", again)
    assert code == 1 and "give a new folder as --out" in error
    code, _, error = prepare(start, folder, tmp_path / "other", again, "--fps=5")
    assert code == 1 and "was made with --fps=25.0, not 5.0" in error
    (folder / "unread.mp4").unlink()
    code, _, error = prepare(start, folder, tmp_path / "other", again)
    assert code == 1 and "was made with other source files" in error


def test_nothing_to_try_again(program, tmp_path):
    (tmp_path / "in").mkdir()
    write_video(tmp_path / "in" / "a.mp4")
    start = ["-m", f"data_prep.{program}"]
    assert prepare(start, tmp_path / "in", tmp_path / "out")[0] == 0
    code, last, _ = prepare(start, tmp_path / "in", tmp_path / "b", f"--again={tmp_path / 'out'}")
    assert code == 0 and "lost nothing" in last and not (tmp_path / "b").exists()


def test_what_is_in_a_file_is_no_failure_of_storage(tmp_path):
    def made(name):
        spool = str(tmp_path / "spool")
        return standardise(Task(str(tmp_path / name), spool, 25, 40, 90, "pyav"), lambda: None)

    (tmp_path / "bad.mp4").write_bytes(b"x" * 3000)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    for name in ("bad.mp4", "empty.mp4", "folder.mp4", "pipe.mp4", "none.mp4", "bad.mp4/x"):
        assert isinstance(made(name), Standardised), name
    (tmp_path / "unread.mp4").symlink_to("/proc/self/mem")
    (tmp_path / "circle.mp4").symlink_to("circle.mp4")
    assert made("unread.mp4") == Lost("cannot be read: Input/output error")
    assert isinstance(made("circle.mp4"), Lost)
    made_of_full = standardise(
        Task(str(write_video(tmp_path / "a.mp4")), "/dev/full", 25, 40, 90, "pyav"), lambda: None
    )
    assert isinstance(made_of_full, OSError) and made_of_full.errno == 28
