"""The contact sheet of what training sees, and the report of a set, on small real videos."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from make_videos import write_video
from matplotlib.image import imread
from words import vie_tf

from data_prep.report import report
from vie_tf.data import pipeline
from vie_tf.data.augmentation import VIE_AUGMENTATION, Augmentation, ColourNoise, colour_noise
from vie_tf.data.look import first_looks
from vie_tf.data.sampling import HalfSeconds, Window
from vie_tf.data.videos import open_videos

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PLAIN = Augmentation(colour=ColourNoise(0, 0, 0, 0, 0), flip=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for name in ("walk", "run"):
        (folder / name).mkdir()
        for number in range(3):
            write_video(folder / name / f"{number}.mp4", frames=30 + 10 * number)
    for number in (1, 2):
        write_video(folder / "run" / f"short{number}.mp4", frames=number)
    (folder / "run" / "$a bad name$.mp4").write_bytes(b"x" * 100)
    return folder


def shown(image):
    """Bits 1 to 5 of the number that `picture` wrote into a frame, in its centre crop of 96."""
    columns = [round((8 * bit + 4) / 64 * 145 - 24.5) for bit in range(1, 6)]
    return sum(int(image[84, column].mean() > 127) << bit for bit, column in enumerate(columns, 1))


@pytest.mark.parametrize("sampling", [Window(1), HalfSeconds(4), Window(16, 2)])
def test_numbers_are_those_of_the_frames_shown(folder, sampling):
    looks = first_looks(open_videos(str(folder), "pyav"), sampling, 96, 5, PLAIN)
    assert len({look.id for look in looks}) == len(looks) == (4 if sampling.frames == 16 else 6)
    for look in looks:
        assert look.label == look.id.split("/")[0] and look.length in (30, 40, 50)
        for clip in (look.plain, look.augmented):
            assert clip.pixels.shape == (sampling.frames, 96, 96, 3)
            assert clip.frames.max() < look.length
        assert list(map(shown, look.plain.pixels)) == [n & 62 for n in look.plain.frames.tolist()]
        if sampling.frames > 1:
            steps = np.diff(look.augmented.frames)
            assert (steps > 0).sum() >= len(steps) - 1  # a short video goes round


def test_it_is_the_first_batch_of_training(folder):
    videos, sampling = open_videos(str(folder), "pyav"), Window(4)
    looks = first_looks(videos, sampling, 32, 7, VIE_AUGMENTATION)
    batch = next(iter(pipeline.training_batches(videos, sampling, 6, 32, 7, 0, 1)))
    assert len(looks) == 6
    assert [look.id for look in looks] == [videos.ids[row] for row in batch["index"]]
    noisy = colour_noise(batch["clip"], batch["seed"], ColourNoise()).numpy()
    for look, clip in zip(looks, noisy):
        np.testing.assert_allclose(look.augmented.pixels, np.clip(clip, 0, 255), atol=0.51)


@pytest.mark.parametrize("family, wide", [("single", 700), ("slowfast", 1400)])
def test_the_picture(folder, tmp_path, capsys, family, wide):
    out = tmp_path / "sheet.png"
    words = ("--mode=look", f"--data={folder}", "--image_size=64", "--held_out=0", "--decoder=pyav")
    vie_tf(*words, f"--family={family}", f"--out={out}", "--seed=1")
    assert "6 videos to train on" in capsys.readouterr().out
    first = imread(out)
    assert wide < first.shape[1] < 1800
    vie_tf(*words, f"--family={family}", f"--out={out}", "--seed=1")
    np.testing.assert_array_equal(imread(out), first)
    vie_tf(*words, f"--family={family}", f"--out={out}", "--seed=2")
    again = imread(out)
    assert again.shape != first.shape or (again != first).any()


def test_a_run_is_given_by_its_flags(folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        vie_tf("--mode=look", f"--data={folder}", "--out=x.png", f"--workdir={tmp_path}")
    assert "--flagfile=WORKDIR/flags.txt" in capsys.readouterr().err


def say(data, *words):
    return subprocess.run(
        [sys.executable, "-m", "data_prep.report", f"--data={data}", "--decoder=pyav", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def test_report(folder, tmp_path):
    prepared = tmp_path / "prepared"
    words = (f"--source={folder}", f"--out={prepared}", "--short_side=40", "--fps=12.5")
    done = subprocess.run(
        [sys.executable, "-m", "data_prep.videos", "--decoder=pyav", *words],
        cwd=ROOT,
        capture_output=True,
    )
    assert done.returncode == 0
    for data, size, frames, fps in ((folder, "64 x 48", 240, 25), (prepared, "53 x 40", 120, 12.5)):
        lines = report(str(data), open_videos(str(data), "pyav"))
        assert max(map(len, lines)) <= 80
        assert lines[0] == "videos    6 kept, 3 skipped"
        # Two of one reason, and one of another, too long for its line.
        assert lines[1] == "skipped   2  fewer than 3 frames (1): run/short1.mp4, …"
        assert lines[2].startswith("          1  FFmpeg cannot open it: damaged, or not a video: ")
        assert lines[3].strip() in ("bad name$.mp4", "name$.mp4")
        text = "\n".join(lines)
        assert f"size      6  {size}" in text
        assert f"at {fps:g} frames/s" in text and f"each of {frames} frames" in text
        row = next(line for line in lines if "seconds" in line).split()
        assert row == ["seconds", "1.2", "1.3", "1.6", "1.9", "2.0"]
        assert "2 classes, 0 videos without label" in text and "3  run (largest)" in text
        assert "splits    6  of no split" in text


def test_report_measures_what_training_reads(folder):
    done = say(folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    one, many = (
        float(line.split("clips/s")[0].split()[-1].replace(",", "")) for line in lines[-3:-1]
    )
    assert one > many > 0 and f"{len(os.sched_getaffinity(0))} cores" in lines[-1]
    assert max(map(len, lines)) <= 80


def test_report_of_nothing_is_one_line(tmp_path):
    done = say(tmp_path / "gone")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "no such folder or CSV" in done.stderr
