"""Time of steps that a GPU takes in a row."""

from __future__ import annotations

import time
from collections.abc import Callable


def milliseconds(step: Callable, seconds: float) -> tuple[float, float]:
    """Times steps in a row, reading the result of every fifth; returns a step's, and the first's.

    Args:
        step: returns what `float` takes, and waits for.
        seconds: how long to go on, for at least five steps and at most 200.
    """
    start = time.perf_counter()
    float(step())
    first = time.perf_counter() - start
    for _ in range(3):
        result = step()
    float(result)
    start, count = time.perf_counter(), 0
    while count < 5 or time.perf_counter() - start < seconds and count < 200:
        for _ in range(5):
            result = step()
        float(result)
        count += 5
    return (time.perf_counter() - start) / count * 1e3, first * 1e3
