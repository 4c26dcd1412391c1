"""Work for a pool of processes that goes wrong on request; without TensorFlow, to start at once."""

from __future__ import annotations

import os
import signal
import time


def odd_work(task, alive):
    if task == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if task == "hang":
        time.sleep(600)
    if task == "long":
        for _ in range(6):
            time.sleep(0.5)
            alive()
    return task


def odd_standardise(task, alive):
    """A file crash.mp4 does that whenever it is read, a file crash_once.mp4 the first time only."""
    from data_prep.standardise import standardise

    what, _, once = os.path.basename(task.path).split(".")[0].partition("_")
    if not once or not os.path.exists(f"{task.path}.log"):
        if once:
            open(f"{task.path}.log", "w").close()
        odd_work(what, alive)
    return standardise(task, alive)
