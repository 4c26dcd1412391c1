import collections
import csv
import os
import subprocess
import sys

import av
import numpy as np
import pytest

from data_prep import moving_digits
from vie_tf.errors import InputError

LIMIT = 36


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    moving_digits.make(str(folder), seed=0, limit=LIMIT)
    return folder


def rows(folder):
    with open(folder / "videos.csv", newline="") as file:
        return list(csv.DictReader(file))


def decode(path):
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 25
        assert container.streams.video[0].codec_context.name == "h264"
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "videos").iterdir())}


def test_every_digit_is_assigned_once_and_a_fifth_is_held_out():
    videos = moving_digits.assign(0)
    assert [v.number for v in videos] == list(range(1797))
    assert sorted(v.sample for v in videos) == list(range(1797))
    truth = moving_digits.load_digits().target
    assert all(v.label == truth[v.sample] for v in videos)
    for label in range(10):
        splits = [v.split for v in videos if v.label == label]
        assert splits.count("test") == round(0.2 * len(splits))
        assert set(splits) == {"train", "test"}


def test_motion_is_balanced_within_digit_and_split_and_in_all():
    videos = moving_digits.assign(0)
    cells = collections.Counter((v.split, v.label, v.motion) for v in videos)
    for split in ("train", "test"):
        for label in range(10):
            counts = [cells[split, label, motion] for motion in moving_digits.MOTIONS]
            assert min(counts) > 0 and max(counts) - min(counts) <= 1
    counts = collections.Counter((v.split, v.motion) for v in videos)
    for split in ("train", "test"):
        per_motion = [counts[split, motion] for motion in moving_digits.MOTIONS]
        assert max(per_motion) - min(per_motion) <= 1


def test_seeds_differ():
    assert moving_digits.assign(0) != moving_digits.assign(1)


def test_file_numbers_do_not_tell_the_label():
    # The data set's own order runs 0..9 again and again; the files' order must not.
    videos = moving_digits.assign(0)
    labels = np.array([v.label for v in videos])
    held_out = np.array([v.split == "test" for v in videos])
    assert abs(np.corrcoef(np.arange(len(labels)), labels)[0, 1]) < 0.1
    assert abs(np.corrcoef(np.arange(len(labels)), held_out)[0, 1]) < 0.1
    assert np.mean(labels[10:] == labels[:-10]) < 0.15


def test_files_decode_to_25_grey_frames_of_64_pixels(made):
    table = rows(made)
    assert [row["path"] for row in table] == [f"videos/{n:04d}.mp4" for n in range(LIMIT)]
    assert sorted(contents(made)) == [f"{n:04d}.mp4" for n in range(LIMIT)]
    for row in table:
        frames = decode(made / row["path"])
        assert frames.shape == (25, 64, 64, 3)
        assert np.ptp(frames.astype(int), axis=-1).max() <= 2


def test_the_digit_is_legible_in_every_frame(made):
    # Cut out along the known path and shrunk to 8x8, each frame correlates with its digit.
    videos = moving_digits.assign(0)[:LIMIT]
    for video in videos:
        rng = np.random.default_rng([0, video.number])
        scale = rng.uniform(3.5, 4.5)
        path = moving_digits.centres(video.motion, 4.5 * scale, rng)
        digit = moving_digits.digits()[video.sample]
        for frame, centre in zip(decode(made / video.path)[..., 0], path):
            y, x = (np.rint(c + (np.arange(8) - 3.5) * scale - 0.5).astype(int) for c in centre)
            assert np.corrcoef(frame[np.ix_(y, x)].ravel(), digit.ravel())[0, 1] > 0.8


def test_the_digit_moves_as_stated_and_stays_inside(made):
    seen = set()
    for row in rows(made):
        frames = decode(made / row["path"])[..., 0].astype(float)
        ground = np.median(frames)
        ink = np.clip(frames - ground - 40, 0, None)  # 40: five deviations of the noise
        y, x = np.mgrid[:64, :64]
        mass = ink.sum((1, 2))
        centre = np.stack([(ink * y).sum((1, 2)), (ink * x).sum((1, 2))], 1) / mass[:, None]
        assert np.ptp(mass) < 0.1 * mass.mean()  # nothing leaves the frame
        down, right = centre[-1] - centre[0]
        motion = row["motion"]
        seen.add(motion)
        if motion.endswith("clockwise"):
            angle = np.unwrap(np.arctan2(*(centre - centre.mean(0)).T))  # y down: grows clockwise
            turned = np.degrees(angle[-1] - angle[0])
            assert np.isclose(turned, 345.6 if motion == "clockwise" else -345.6, atol=25)
        else:
            expected = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}[motion]
            assert np.dot((down, right), expected) > 12
            assert abs(np.linalg.det([(down, right), expected])) < 2
    assert seen == set(moving_digits.MOTIONS)


def test_same_seed_gives_the_same_bytes_with_any_limit(made, tmp_path, monkeypatch):
    # Fills the workers' fresh memory, so that an encoder that reads it unwritten is found out.
    monkeypatch.setenv("MALLOC_PERTURB_", "77")
    moving_digits.make(str(tmp_path), seed=0, limit=5)
    again = contents(tmp_path)
    assert len(again) == 5
    assert all(contents(made)[name] == data for name, data in again.items())


def test_an_interrupted_run_goes_on(made, tmp_path):
    moving_digits.make(str(tmp_path), seed=0, limit=4)
    kept = tmp_path / "videos/0001.mp4"
    os.utime(kept, (1, 1))
    (tmp_path / "videos/0002.mp4").unlink()
    (tmp_path / "videos/0002.mp4.0a1b.part").write_bytes(b"half")
    (tmp_path / "videos.csv").unlink()
    moving_digits.make(str(tmp_path), seed=0, limit=6)
    assert kept.stat().st_mtime == 1
    assert contents(tmp_path) == {n: d for n, d in contents(made).items() if n < "0006.mp4"}
    assert rows(tmp_path) == rows(made)[:6]


def test_videos_of_another_seed_are_not_mixed_in(made):
    with pytest.raises(InputError, match="--seed=1"):
        moving_digits.make(str(made), seed=1, limit=2)


def test_a_folder_that_cannot_be_written_gets_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "data_prep.moving_digits", f"--out={tmp_path}/file/x"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1 and f"{tmp_path}/file/x" in run.stderr
