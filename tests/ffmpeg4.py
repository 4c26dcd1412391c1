"""Makes a folder of FFmpeg 4 libraries, which tensorflow-io needs, and prints its name.

    export LD_LIBRARY_PATH=$(python tests/ffmpeg4.py)

Debian 12 has FFmpeg 5.1. The wheel of decord 0.6.0 carries FFmpeg 4.0 for x86-64 Linux under other
names, so links with the names that the loader looks for are all it takes.
"""

from __future__ import annotations

import glob
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version

import pytest

needs_tensorflow_io = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64") or version("keras") >= "3",
    reason="tensorflow-io is for TensorFlow 2.15, and its FFmpeg 4 is found for x86-64 Linux only",
)
LIBRARIES = {"avformat": 58, "avcodec": 58, "avutil": 56, "swscale": 5, "swresample": 3}


def make(folder: str) -> str:
    """Fills the folder, unless it is there already; returns its absolute path."""
    folder = os.path.abspath(folder)
    if os.path.isdir(folder):
        return folder
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(folder)) as work:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", work]
        subprocess.run([*pip, "decord==0.6.0"], check=True, stdout=sys.stderr)
        with zipfile.ZipFile(glob.glob(f"{work}/decord-*.whl")[0]) as wheel:
            wheel.extractall(work)
        libraries = os.path.join(work, "decord.libs")
        for name, version in LIBRARIES.items():
            found = glob.glob(f"{libraries}/lib{name}-*.so.{version}.*")[0]
            os.symlink(os.path.basename(found), f"{libraries}/lib{name}.so.{version}")
        shutil.move(libraries, folder)
    return folder


if __name__ == "__main__":
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    print(make(sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "build", "ffmpeg4")))
