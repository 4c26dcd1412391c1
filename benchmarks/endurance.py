"""Memory and speed of the input pipeline over 100,000 clips.

    python -m benchmarks.endurance --data=demo/prepared

Reads a family's training clips and prints the process's memory and clips a second ten times on
the way. Exit status 1 where the memory after all is more than 5 % above that after a tenth.
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.worker import memory
from vie_tf.data import pipeline
from vie_tf.data.videos import open_videos
from vie_tf.models.families import sampling_of

BATCH = 100
GROWTH = 1.05


def main() -> int:
    """Prints ten lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--image_size", type=int, default=64)
    parser.add_argument("--family", default="single")
    options = parser.parse_args()
    steps = options.clips // BATCH
    batches = pipeline.training_batches(
        open_videos(options.data),
        sampling_of(options.family),
        BATCH,
        options.image_size,
        0,
        0,
        steps,
    )
    used, start = [], time.perf_counter()
    for step, _ in enumerate(batches, 1):
        if step % (steps // 10) == 0:
            used.append(memory("VmRSS"))
            speed = steps // 10 * BATCH / (time.perf_counter() - start)
            print(f"{step * BATCH:>9,} clips {used[-1]:8.0f} MB {speed:8.0f} clips/s", flush=True)
            start = time.perf_counter()
    return int(used[-1] > GROWTH * used[0])


if __name__ == "__main__":
    sys.exit(main())
