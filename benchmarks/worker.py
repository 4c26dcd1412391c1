"""One system of a benchmark in a process of its own: a timed step for each line.

    python -m benchmarks.worker MODULE NAME [OPTION ...]

The module's `make_step` takes name and options, and returns a size and a step. Prints `ready`, the
size and the memory in use before the first step, MB, after the warm-up; then, for each line of
standard input, seconds, CPU seconds and result of a step, and the most memory used since, MB. Linux
alone tells memory.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import sys
import time
from pathlib import Path

WARM_UP = 3  # steps: the first ones trace, choose kernels and take memory


def memory(name: str) -> float:
    """Of this process, MB: in use (VmRSS), or the most so far (VmHWM); nan where unknown."""
    try:
        lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
        return int(lines[name].split()[0]) / 1024
    except OSError:
        return math.nan


def main(module: str, name: str, *arguments: str) -> None:
    """Serves until standard input ends."""
    options = [int(word) if word.isdigit() else word for word in arguments]
    size, step = importlib.import_module(f"benchmarks.{module}").make_step(name, *options)
    before = memory("VmRSS")
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak is from here
    for _ in range(WARM_UP):
        float(step())
    print("ready", size, before, flush=True)
    for _ in sys.stdin:
        start, busy = time.perf_counter(), time.process_time()
        result = float(step())
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
        print(seconds, busy, result, memory("VmHWM"), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
