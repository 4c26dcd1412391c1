from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from make_videos import number_of, rotate, write_video
from odd_work import odd_work
from pixels import clip_of
from preparing import ROOT, contents, outcome, some_videos

from data_prep import pool
from data_prep.standardise import short_side_for, target_size
from vie_tf.data import crops
from vie_tf.data.videos import open_videos


def command(source, out, *more):
    return [
        *(sys.executable, "-m", "data_prep.videos", f"--source={source}", f"--out={out}"),
        *("--short_side=40", "--decoder=pyav", *more),
    ]


def prepare(source, out, *more):
    return outcome(command(source, out, *more))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    some_videos(folder)
    rotate(write_video(folder / "turned.mp4"))
    write_video(folder / "uneven.mkv", frames=5, times=[0, 0.04, 0.08, 0.48, 0.52])
    (folder / "empty.avi").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    out = str(tmp_path_factory.mktemp("out") / "whole")
    code, last, error = prepare(source, out, "--workers=2")
    assert code == 0, error
    assert last.startswith("9 videos prepared, 3 skipped (see ")
    return out


def test_the_short_side_that_suits_the_clips(tmp_path, source):
    """Of 28-pixel clips it is 40, as 320 is of those of 224."""
    words = command(source, tmp_path / "out", "--for_image_size=28")
    code, _, error = outcome(words)
    assert code == 1 and error.strip().count("\n") == 0
    assert "--for_image_size chooses the --short_side: give one of them" in error
    code, last, error = outcome([word for word in words if not word.startswith("--short_side")])
    assert code == 0 and last.startswith("9 videos prepared"), error
    request = json.loads((tmp_path / "out" / "dataset.json").read_text())["request"]
    assert request["short_side"] == 40
    assert [short_side_for(side) for side in (224, 112, 32)] == [320, 160, 46]


def test_the_paper_s_crop_enlarges_nothing_of_that_short_side():
    """From clips of 4 pixels on: of smaller ones it draws no short side below their own."""
    for side in range(4, 513):
        short, seed = short_side_for(side), tf.constant([side, 0])
        resized = crops.random_crop(tf.constant([short, 2 * short]), side, seed).resized
        assert short % 2 == 0 and crops.LONGEST * side / crops.PAPER_CROP <= short
        assert side <= resized[0] <= short


def test_frames_and_manifest(whole):
    with open(os.path.join(whole, "manifest.csv"), newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert list(rows) == sorted(rows) and len(rows) == 12
    assert rows["short.mp4"]["reason"] == "fewer than 3 frames (2)"
    assert rows["empty.avi"]["reason"] == "empty file"
    assert "not a video" in rows["bad.mp4"]["reason"] and rows["bad.mp4"]["index"] == ""
    assert rows["v3.mp4"]["frames"] == "23" and rows["v3.mp4"]["source_fps"] == "25.0"
    assert (rows["turned.mp4"]["height"], rows["turned.mp4"]["width"]) == ("53", "40")
    videos = open_videos(whole)
    assert videos.ids == [path for path in rows if rows[path]["status"] == "kept"]

    def shown(name):
        row = videos.ids.index(name)
        images = clip_of(videos, row, np.arange(videos.frames[row]))
        turn = name == "turned.mp4"
        return [number_of(np.rot90(image) if turn else image) for image in images]

    assert shown("v3.mp4") == list(range(23))
    assert shown("turned.mp4") == list(range(30))
    assert shown("slow.mkv") == np.repeat(np.arange(5), 5).tolist()
    assert shown("uneven.mkv") == [0, 1] + [2] * 10 + [3, 4] + [4] * (len(shown("uneven.mkv")) - 14)


def test_raw_videos_show_the_same_frames(source, whole):
    ready, raw = open_videos(whole), open_videos(str(source), decoder="pyav")
    assert ready.ids == raw.ids
    np.testing.assert_array_equal(ready.frames, raw.frames)


def test_same_bytes_with_any_number_of_workers(source, whole, tmp_path):
    assert prepare(source, tmp_path / "one", "--workers=1")[0] == 0
    assert contents(tmp_path / "one") == contents(whole)


def test_killed_and_gone_on_with_is_the_same_bytes(source, whole, tmp_path):
    out = tmp_path / "killed"
    kills = 0
    for least in (1, 4, 8):
        run = subprocess.Popen(
            command(source, out, "--workers=2"), cwd=ROOT, stderr=subprocess.DEVNULL
        )
        journal = out / "journal.jsonl"
        until = time.monotonic() + 30
        while run.poll() is None and time.monotonic() < until:
            if journal.exists() and journal.read_bytes().count(b"\n") > least:
                run.kill()
                break
            time.sleep(0.002)
        kills += run.wait() == -signal.SIGKILL
        if kills == 1 and journal.exists():  # as if it had died in the midst of writing
            with open(journal, "ab") as file:
                file.write(b'{"status": "ke')
            with open(out / "frames-00000.tfrecord", "ab") as file:
                file.write(b"half a record")
    assert kills
    assert prepare(source, out)[0] == 0
    assert contents(out) == contents(whole)


def test_interrupt_says_how_to_go_on(source, tmp_path):
    run = subprocess.Popen(
        command(source, tmp_path / "out"), cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "out" / "journal.jsonl").exists():
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    assert run.wait() == 130
    assert run.stderr.read().splitlines()[-1].endswith("stopped; run the same command again")


def test_finished_or_other_request(source, whole, tmp_path):
    before = contents(whole)
    code, last, _ = prepare(source, whole)
    assert code == 0 and "finished already" in last
    code, _, error = prepare(source, whole, "--jpeg_quality=50")
    assert code == 1 and "made with --jpeg_quality=90, not 50" in error
    write_video(tmp_path / "source" if (tmp_path / "source").mkdir() else tmp_path / "source/a.mp4")
    code, _, error = prepare(tmp_path / "source", whole)
    assert code == 1 and "made with other source files" in error
    code, _, error = prepare(source, tmp_path)
    assert code == 1 and "holds other files" in error
    assert contents(whole) == before


def test_csv_keeps_its_columns(source, tmp_path):
    table = source / "list.csv"
    table.write_text(
        "path,label,split,height,mood\nv1.mp4,x,train,7,calm\ngone.mp4,y,test,8,wild\n"
    )
    code, last, _ = prepare(table, tmp_path / "out", "--workers=1")
    assert code == 0 and last.startswith("1 videos prepared, 1 skipped")
    with open(tmp_path / "out" / "manifest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["csv_height"] for row in rows] == ["7", "8"] and rows[0]["height"] == "40"
    assert rows[1]["reason"] == "no such file"
    for column, name in (("mood", "calm"), ("height", "7"), ("label", "x")):
        videos = open_videos(str(tmp_path / "out"), label_column=column)
        assert videos.label_names == [name] and videos.splits.tolist() == ["train"]


def test_nothing_usable(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(b"x")
    code, _, error = prepare(tmp_path / "in", tmp_path / "out")
    assert code == 1 and "none of 1 files is usable (a.mp4: " in error.splitlines()[-1]
    code, _, error = prepare(tmp_path / "gone", tmp_path / "out")
    assert code == 1 and "no such folder" in error
    code, _, error = prepare(tmp_path / "in", tmp_path / "in")
    assert code == 1 and "is the source itself" in error
    code, _, error = prepare(tmp_path / "in", tmp_path / "in" / "a.mp4" / "out")
    assert code == 1 and "give another --out" in error


@pytest.mark.parametrize("words", [["--nope"], [], ["--source=x", "--out=y", "stray"]])
def test_wrong_flags_are_one_line(words):
    done = subprocess.run(
        [sys.executable, "-m", "data_prep.videos", *words], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("data_prep.videos: ")


def test_does_not_import_tensorflow():
    code = "import data_prep.videos, sys; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(
    "height, width, size",
    [(240, 320, (320, 426)), (640, 32, (6400, 320)), (1, 1, (320, 320)), (320, 240, (426, 320))],
)
def test_target_size(height, width, size):
    assert target_size(height, width, 320) == size


def test_crash_and_hang_cost_one_video_each():
    tasks = ["a", "crash", "b", "long", "hang", "c", "crash", "d"]
    with pool.Crew(odd_work, size=2, patience=2) as crew:
        results = list(crew.in_order(tasks))
        assert list(crew.in_order(["e"])) == ["e"]
    assert [r for r in results if isinstance(r, str)] == ["a", "b", "long", "c", "d"]
    assert "crashed (exit code -11)" in results[1].reason
    assert "stood still for 2 s" in results[4].reason
