"""Damaged files through both decoders: kept or skipped with a reason, no crash, no hang.

VIE_TEST_ODD names a folder of odd files; `pytest -m slow` reads them and 200 damaged copies.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from ffmpeg4 import make, needs_tensorflow_io
from make_videos import rotate, write_video
from odd_files import ROOT, damaged_copies, use_apart

DECODERS = [
    "pyav",
    pytest.param("tfio", marks=needs_tensorflow_io),
]
PARTS = 8


def libraries(decoder):
    return make(str(ROOT / "build" / "ffmpeg4")) if decoder == "tfio" else ""


def outcomes(files, decoder):
    """What became of each file, after a look that none crashed or hung."""
    found = use_apart(files, decoder, libraries(decoder))
    assert not [outcome for outcome in found if outcome["outcome"] == "crashed"]
    assert len(found) == 2 * len(files)
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    whole = [
        write_video(folder / "h264.mp4"),
        rotate(write_video(folder / "turned.mp4")),
        write_video(folder / "mpeg4.avi", codec="mpeg4"),
        write_video(folder / "vp9.webm", codec="libvpx-vp9"),
        write_video(folder / "mpeg2.ts", codec="mpeg2video"),
        write_video(folder / "h264.mkv"),
    ]
    whole = [Path(path) for path in whole]
    return whole + damaged_copies(whole, folder, 24, seed=0)


@pytest.mark.parametrize(
    "decoder", ["pyav", pytest.param("tfio", marks=[*DECODERS[1].marks, pytest.mark.slow])]
)
def test_damaged_files(files, decoder):
    found = outcomes(files, decoder)
    assert all(o["outcome"] == "kept" for o in found[:12])
    # Some of the damage is fatal and some is not, or this test tries nothing.
    counts = Counter(o["outcome"] for o in found[12:])
    assert counts["kept"] > 10 and counts["skipped"] > 5, counts


@pytest.mark.parametrize("decoder", DECODERS)
def test_prepare_damaged_files(files, tmp_path, decoder):
    words = [f"--source={files[0].parent}", f"--out={tmp_path / 'out'}", f"--decoder={decoder}"]
    done = subprocess.run(
        [sys.executable, "-m", "data_prep.videos", "--short_side=40", *words],
        env={**os.environ, "LD_LIBRARY_PATH": libraries(decoder)},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "out" / "manifest.csv", newline="", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(files)
    assert all(row["status"] == "kept" or row["reason"] for row in rows)


@pytest.mark.slow
@pytest.mark.skipif("VIE_TEST_ODD" not in os.environ, reason="VIE_TEST_ODD names no folder")
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("decoder", DECODERS)
def test_a_folder_of_odd_files(tmp_path, decoder, part):
    whole = sorted(path for path in Path(os.environ["VIE_TEST_ODD"]).rglob("*") if path.is_file())
    copies = damaged_copies([p for p in whole if p.stat().st_size > 1], tmp_path, 200, seed=0)
    found = outcomes((whole + copies)[part::PARTS], decoder)
    for way in ("read", "prepare"):
        mine = [o for o in found if o["way"] == way]
        print(f"\n{decoder}, {way}, part {part + 1} of {PARTS}:", end=" ")
        print(dict(Counter(o["outcome"] for o in mine)))
        print(Counter(o["reason"] for o in mine if o["reason"]).most_common())
        slowest = max(mine, key=lambda o: o["seconds"])
        print(f"slowest: {slowest['seconds']:.1f} s, {Path(slowest['file']).name}")
