"""Time and memory of a cached linear read-out: by default of 10,000 clips x 25,088 values.

    OMP_NUM_THREADS=2 taskset -c 0,1 python -m benchmarks.readout --folder=build/readout

Conv5 of a 224-pixel clip has 25,088 values, UCF101's first fold 9,537 training videos. The features
are made up (classes in 64 directions, noise in all, rectified), and lie in a file as those that the
read-out keeps; the fifth that is held out chooses the penalty among the same four. With --spans the
span of fewer and of more clips is tried on them: what is lost by bounding it.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from vie_tf.evaluation import linear


def features(path: Path, labels: np.ndarray, values: int, seed: int) -> np.ndarray:
    """A file of made-up features of clips, float32 [K, values]."""
    places = np.random.default_rng(0).normal(size=(labels.max() + 1, 64)).astype("f4")
    mixture = np.random.default_rng(1).normal(size=(64, values)).astype("f4") / 8
    rng = np.random.default_rng(seed)
    shape = (len(labels), values)
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for first in range(0, len(labels), 1000):
        own = places[labels[first : first + 1000]]
        inner = own + 2 * rng.standard_normal(own.shape, np.float32)
        noise = rng.standard_normal((len(own), values), np.float32)
        file[first : first + 1000] = np.maximum(inner @ mixture + noise, 0)
    file.flush()
    return np.load(path, mmap_mode="r")


def main() -> None:
    """Makes the features, times the read-out, prints what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--folder", required=True, help="for the features, 1.1 GB")
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--values", type=int, default=25_088)
    parser.add_argument("--classes", type=int, default=101)
    parser.add_argument("--spans", type=int, nargs="*", default=[linear.LANDMARKS])
    options = parser.parse_args()
    folder = Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.arange(options.clips) % options.classes
    asked = np.arange(1000) % options.classes
    train = features(folder / "train.npy", labels, options.values, 2)
    test = features(folder / "test.npy", asked, options.values, 3)
    for span in options.spans:
        linear.LANDMARKS = span
        began = time.perf_counter()
        found = linear.linear_probabilities(
            train, np.arange(len(train)), labels, test, np.arange(len(test)), options.classes
        )
        seconds = time.perf_counter() - began
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"{options.clips:,} clips x {options.values:,} values, {options.classes} classes, in "
            f"the span of {min(span, options.clips):,}: {seconds:.0f} s, {memory:.1f} GB at most "
            f"with the file's pages, top-1 {(found.argmax(axis=1) == asked).mean():.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
