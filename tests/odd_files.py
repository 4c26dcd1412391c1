"""Damaged copies of video files, and what becomes of odd files, read one by one.

    python tests/odd_files.py DECODER FILE ...

Prints a line of JSON for each file and each way to use it: from the file through the pipeline
('read'), and as data_prep does ('prepare'). A process of its own, since a decoder may crash.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 30  # seconds for a file
WAYS = ("read", "prepare")


def damaged_copies(files: Sequence[Path], folder: Path, count: int, seed: int) -> list[Path]:
    """Writes `count` copies of random files, in turns with bits flipped and cut off."""
    rng, copies = np.random.default_rng(seed), []
    for number in range(count):
        file = files[rng.integers(len(files))]
        data = np.frombuffer(file.read_bytes(), np.uint8).copy()
        if number % 2:
            data = data[: rng.integers(1, len(data))]
        else:
            # From one bit to one in a thousand bytes; half of the copies in the header alone.
            flips = int(2 ** rng.uniform(0, np.log2(max(len(data) / 1000, 2))))
            reach = len(data) if number % 4 else min(len(data), 4096)
            data[rng.integers(0, reach, flips)] ^= 1 << rng.integers(0, 8, flips).astype(np.uint8)
        how = "cut" if number % 2 else "flipped"
        copies.append(folder / f"{number:03}-{how}-{file.name}")
        copies[-1].write_bytes(data.tobytes())
    return copies


def use_apart(files: Sequence[Path], decoder: str, libraries: str = "") -> list[dict]:
    """Uses each file in each way in other processes; a crash or hang is an outcome of its file.

    Args:
        files: what to read.
        decoder: 'pyav' or 'tfio'.
        libraries: folder of the FFmpeg libraries that 'tfio' needs.

    Returns:
        Dicts of file, way, outcome ('kept', 'skipped', 'crashed'), reason and seconds.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    if libraries:
        environment["LD_LIBRARY_PATH"] = libraries
    left = [(str(file), way) for file in files for way in WAYS]
    outcomes = []
    while left:
        words = [sys.executable, __file__, decoder, *(word for pair in left for word in pair)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        outcomes += found
        left = left[len(found) :]
        if left:
            said = done.stderr.strip().splitlines() or [""]
            # Of a hang or a signal the first line tells, of an exception the last.
            said = said[-1 if "Traceback" in done.stderr else 0]
            outcomes.append(
                dict(
                    zip(("file", "way"), left.pop(0)),
                    outcome="crashed",
                    reason=f"exit status {done.returncode}: {said}",
                    seconds=0.0,
                )
            )
    return outcomes


def _read(path: str, decoder: str) -> str:
    """The reason why it cannot be read through the pipeline, or ''."""
    import tensorflow as tf

    from vie_tf.data import pipeline
    from vie_tf.data.sampling import Window
    from vie_tf.data.videos import damage, open_video
    from vie_tf.errors import InputError

    try:
        videos = open_video(path, decoder)
        for batch in pipeline.test_batches(videos, pipeline.TestClips(Window(16), 32, 3)):
            assert batch["clip"].shape == (3, 16, 32, 32, 3)
        for batch in pipeline.training_batches(videos, Window(16), 2, 32, 0, 0, 2):
            assert batch["clip"].shape == (2, 16, 32, 32, 3)
    except InputError as error:
        found = re.search(r"files is usable \(.*?: (.*)\); give", str(error))
        return found.group(1) if found else str(error)
    except tf.errors.OpError as error:
        if damage(error) is None:
            raise
        return str(damage(error))
    return ""


def _prepare(path: str, decoder: str) -> str:
    """The reason why it cannot be prepared, or ''."""
    from data_prep.standardise import Task, standardise

    with tempfile.TemporaryDirectory() as folder:
        task = Task(path, f"{folder}/spool", 25.0, 320, 90, decoder)
        result = standardise(task, lambda: None)
    assert result.status == "kept" or result.reason
    return "" if result.status == "kept" else result.reason


def main(decoder: str, *words: str) -> None:
    """Uses files until one crashes the process."""
    import tensorflow  # noqa: F401 (its start is nobody's time)

    for path, way in zip(words[::2], words[1::2]):
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        start = time.monotonic()
        reason = {"read": _read, "prepare": _prepare}[way](path, decoder)
        outcome = {"file": path, "way": way, "outcome": "skipped" if reason else "kept"}
        seconds = round(time.monotonic() - start, 2)
        print(json.dumps({**outcome, "reason": reason, "seconds": seconds}), flush=True)
        faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    main(*sys.argv[1:])
