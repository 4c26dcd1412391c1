"""Running a preparation as a user does, and what it left."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from make_videos import write_video

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def some_videos(folder):
    """Six ordinary videos, one of five frames a second, one too short, one that is none."""
    for number in range(6):
        write_video(folder / f"v{number}.mp4", frames=20 + number)
    write_video(folder / "slow.mkv", frames=5, times=np.arange(5) / 5)
    write_video(folder / "short.mp4", frames=2)
    (folder / "bad.mp4").write_bytes(b"x" * 1000)
    return folder


def prepare(source, out):
    """Prepares videos with a short side of 48 pixels; returns the folder."""
    words = ("-m", "data_prep.videos", f"--source={source}", f"--out={out}", "--short_side=48")
    subprocess.run([sys.executable, *words], check=True, capture_output=True, cwd=ROOT)
    return out


def outcome(words):
    """Exit status, standard output and standard error of a command."""
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    return done.returncode, done.stdout, done.stderr


def contents(folder):
    """The files of a folder, by their names."""
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}
