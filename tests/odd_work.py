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
    from data_prep.standardise import standardise

    odd_work(os.path.basename(task.path).split(".")[0], alive)
    return standardise(task, alive)
