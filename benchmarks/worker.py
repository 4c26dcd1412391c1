"""One system of a benchmark in a process of its own: a timed step for each line.

    python -m benchmarks.worker MODULE NAME [OPTION ...]

The module's `make_step` takes name and options, and returns a size and a step. Prints `ready` and
the size after the warm-up, then, for each line of standard input, seconds, CPU seconds and result
of a step, and the most memory that the process has held, MB.
"""

from __future__ import annotations

import importlib
import resource
import sys
import time

WARM_UP = 3  # steps: the first ones trace, choose kernels and take memory


def main(module: str, name: str, *arguments: str) -> None:
    """Serves until standard input ends."""
    options = [int(word) if word.isdigit() else word for word in arguments]
    size, step = importlib.import_module(f"benchmarks.{module}").make_step(name, *options)
    for _ in range(WARM_UP):
        float(step())
    print("ready", size, flush=True)
    for _ in sys.stdin:
        start, busy = time.perf_counter(), time.process_time()
        result = float(step())
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(seconds, busy, result, peak, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
