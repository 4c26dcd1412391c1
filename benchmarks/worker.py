"""One system of the training-step benchmark in a process of its own: a timed step for each line.

    python -m benchmarks.worker MODULE FAMILY FRAMES IMAGE_SIZE BATCH_SIZE THREADS [OPTION ...]

Prints `ready` and the number of parameters after the warm-up, then, for each line of standard
input, seconds, CPU seconds and loss of a step.
"""

from __future__ import annotations

import importlib
import sys
import time

WARM_UP = 3  # steps: the first ones trace, choose kernels and take memory


def main(module: str, family: str, *arguments: str) -> None:
    """Serves until standard input ends."""
    options = [int(word) if word.isdigit() else word for word in arguments]
    parameters, step = importlib.import_module(f"benchmarks.{module}").make_step(family, *options)
    for _ in range(WARM_UP):
        float(step())
    print("ready", parameters, flush=True)
    for _ in sys.stdin:
        start, busy = time.perf_counter(), time.process_time()
        loss = float(step())
        print(time.perf_counter() - start, time.process_time() - busy, loss, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
