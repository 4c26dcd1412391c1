"""The plainest step in Keras 3 against the same one in Keras 2, in an environment with both.

    python -m benchmarks.keras3 --out=benchmarks/results/keras3.txt

The figures are the seconds of a step, and the median of the rounds' ratios (quartiles) and of those
of CPU seconds, below 1 where Keras 3 is faster.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys

from benchmarks.printing import printer
from benchmarks.stacks import releases
from benchmarks.training_step import FAMILIES, Worker, ratio, take_turns

CHOSEN = ("resnet3d", "slow", "slowfast")  # those whose twin is layers alone, as Keras 3 asks


def main() -> None:
    """Prints a row for each family."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="2 or more")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", help="file for the table")
    options = parser.parse_args()
    say = printer(options.out)
    say(f"{releases(sys.executable)}; {options.threads} threads, {options.rounds} rounds")
    say(f"{'':12}{'Keras 3':>9}{'Keras 2':>9}{'ratio':>22}{'of CPU s':>9}")
    for family in CHOSEN:
        words = (family, *FAMILIES[family], options.threads)
        workers = {
            which: Worker(sys.executable, which, *words)
            for which in ("keras3_twins", "keras_twins")
        }
        sizes = {worker.size for worker in workers.values()}
        assert len(sizes) == 1, f"{family}: other networks: {sizes}"
        steps = take_turns(workers, options.rounds)
        new, old = (statistics.median(s[0] for s in steps[which]) for which in workers)
        wall, cpu = ratio(steps["keras3_twins"], steps["keras_twins"])[1].rsplit(", ", 1)
        say(f"{family:12}{new:9.3f}{old:9.3f}{wall:>22}{cpu:>9}")
        for worker in workers.values():
            worker.close()


if __name__ == "__main__":
    main()
