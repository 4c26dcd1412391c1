"""The speed of this code against that of an earlier commit: steps, search and clustering.

    git worktree add build/before COMMIT
    python -m benchmarks.against build/before --out=benchmarks/results/against.txt

Each of the two is a process; they take turns, as in `benchmarks.training_step`. The figures are the
medians of the rounds' ratios of seconds (quartiles) and of CPU seconds, below 1 where this code is
faster; `other` is the number of cores that everything else kept busy meanwhile.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path

from benchmarks.printing import printer
from benchmarks.training_step import FAMILIES, Worker, ratio, take_turns

PARTS = {
    family: ("vie_step", family, *FAMILIES[family], "{threads}", "float32", "noise")
    for family in ("single", "resnet3d", "slow", "slowfast")
}
PARTS["single, bfloat16"] = (*PARTS["single"][:-2], "bfloat16", "noise")
PARTS |= {
    "single, LA": ("vie_step", "single", 1, 112, 64, "{threads}", "float32", "noise", "la"),
    "neighbours, K 512": ("search", "neighbours", "vie_tf", 240_000, 512, "{threads}"),
    "neighbours, K 4096": ("search", "neighbours", "vie_tf", 240_000, 4096, "{threads}"),
    "k-means": ("search", "kmeans", "vie_tf", 240_000, 8000, "{threads}"),
}
FEW = 3  # rounds of k-means, which takes as long as many steps


def main() -> None:
    """Prints a row for each part."""
    parser = parser_of(__doc__, PARTS)
    parser.add_argument("before", type=Path, help="the repository at the earlier commit")
    options = parser.parse_args()
    say = printer(options.out)
    say(f"{options.threads} threads, {options.rounds} rounds; {FEW} of k-means")
    heading = f"{'ratio of s':>22}{'of CPU s':>9}{'other':>7}{'MB':>7}{'before':>8}"
    say(f"{'':20}{'s':>8}{'before':>8}{heading}")
    for name in options.parts:
        words = [str(word).format(threads=options.threads) for word in PARTS[name]]
        workers = {
            "now": Worker(sys.executable, *words),
            "before": Worker(sys.executable, *words, root=options.before.resolve()),
        }
        steps = take_turns(workers, FEW if name == "k-means" else options.rounds)
        now, before = (statistics.median(s[0] for s in steps[x]) for x in workers)
        wall, cpu = ratio(steps["now"], steps["before"])[1].rsplit(", ", 1)
        other = statistics.median(s[2] for taken in steps.values() for s in taken)
        memory = "".join(f"{worker.peak:{7 + (x == 'before')}.0f}" for x, worker in workers.items())
        say(f"{name:20}{now:8.3f}{before:8.3f}{wall:>22}{cpu:>9}{other:7.2f}{memory}")
        for worker in workers.values():
            worker.close()


def parser_of(said: str, parts: dict) -> argparse.ArgumentParser:
    """Returns the options of a comparison of two, some of them those of `parts`."""
    parser = argparse.ArgumentParser(
        description=said, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def names(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(";")]
        if unknown := [name for name in chosen if name not in parts]:
            raise argparse.ArgumentTypeError(f"unknown: {'; '.join(unknown)}")
        return chosen

    said = f"separated by ';': {'; '.join(parts)}"
    parser.add_argument("--parts", type=names, default=[*parts], help=said)
    parser.add_argument("--rounds", type=int, default=15, help="2 or more")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", help="file for the table")
    return parser


if __name__ == "__main__":
    main()
