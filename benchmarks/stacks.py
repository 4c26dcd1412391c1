"""The speed on this TensorFlow against that on another one: training steps and input pipelines.

    python -m benchmarks.stacks OTHER_PYTHON --out=benchmarks/results/stacks.txt

Each is a process; they take turns, as in `benchmarks.training_step`, on the same clips and the same
videos (drawn ones, as in `benchmarks.input_pipeline`). The figures are the seconds of a step or the
milliseconds of a clip on the two, and the medians of the rounds' ratios (quartiles) and of those of
CPU seconds, below 1 where this TensorFlow is faster; `busy` is the number of cores that everything
else kept busy meanwhile.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.against import FEW, PARTS, parser_of
from benchmarks.input_pipeline import make_videos
from benchmarks.printing import printer
from benchmarks.training_step import FAMILIES, Worker, ratio, take_turns

STEPS = PARTS | {"Keras twin, single": ("keras_twins", "single", *FAMILIES["single"], "{threads}")}
READERS = {
    f"{system}, {sampler}": (system, sampler)
    for system in ("prepared", "video_pyav")
    for sampler in ("single", "resnet3d")
}


def main() -> None:
    """Prints a row for each part."""
    parser = parser_of(__doc__, {**STEPS, **READERS})
    parser.add_argument("other", help="interpreter with the other TensorFlow")
    options = parser.parse_args()
    say = printer(options.out)
    pythons = {"this": sys.executable, "other": options.other}
    for name, python in pythons.items():
        say(f"{name}: {releases(python)}")
    say(f"{options.threads} threads, {options.rounds} rounds; {FEW} of k-means")
    say(f"{'':24}{'this':>9}{'other':>9}{'ratio':>22}{'of CPU s':>9}{'busy':>7}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if any(part in READERS for part in options.parts):
            (folder / "videos").mkdir()
            make_videos(folder / "videos", 8)
            words = (f"--source={folder / 'videos'}", f"--out={folder / 'prepared'}")
            prepare = (sys.executable, "-m", "data_prep.videos", *words)
            subprocess.run(prepare, check=True, capture_output=True)
        for name in options.parts:
            if name in READERS:
                words = ("readers", *READERS[name], folder, options.threads)
            else:
                words = [str(word).format(threads=options.threads) for word in STEPS[name]]
            workers = {which: Worker(python, *words) for which, python in pythons.items()}
            rounds = FEW if name == "k-means" else options.rounds
            say(row(name, workers, take_turns(workers, rounds)))
            for worker in workers.values():
                worker.close()


def row(name: str, workers: dict[str, Worker], steps: dict[str, list[tuple]]) -> str:
    """Returns the line of a part; of readers, by the clip: they read other numbers of clips."""
    cost = {}
    for which, worker in workers.items():
        clips = worker.result if name in READERS else 1
        cost[which] = [(s[0] / clips, s[1] / clips) for s in steps[which]]
    unit = 1e3 if name in READERS else 1
    this, other = (unit * statistics.median(s[0] for s in cost[which]) for which in workers)
    wall, cpu = ratio(cost["this"], cost["other"])[1].rsplit(", ", 1)
    busy = statistics.median(s[2] for taken in steps.values() for s in taken)
    return f"{name:24}{this:9.3f}{other:9.3f}{wall:>22}{cpu:>9}{busy:7.2f}"


def releases(python: str) -> str:
    """Returns the releases that an interpreter has."""
    code = "import platform; from importlib.metadata import version as v; import tensorflow as tf; "
    code += "print('Python', platform.python_version(), 'TensorFlow', tf.__version__, 'NumPy', "
    code += "v('numpy'), 'PyAV', v('av'))"
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run([python, "-c", code], env=quiet, capture_output=True, text=True)
    except OSError as error:
        sys.exit(f"{python}: {error.strerror}")
    if done.returncode:
        sys.exit(f"{python}: {(done.stderr.strip() or 'it fails').splitlines()[-1]}")
    return done.stdout.strip()


if __name__ == "__main__":
    main()
