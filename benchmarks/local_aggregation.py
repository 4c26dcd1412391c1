"""Local Aggregation at Kinetics scale: neighbours, k-means, its training step, and its growth.

    python -m benchmarks.local_aggregation --out=benchmarks/results/local_aggregation.txt \
        --picture=docs/growth.png

Against faiss (`pip install faiss-cpu`; left out where it is missing), scikit-learn, and
TensorFlow's matrix product and top_k. Each system is a process, and they take turns, one step at a
time with the others stopped; figures are medians, `x` is the median of the rounds' ratios of
seconds of the other system to ours, above 1 where ours is faster. Memory is that of the process
before the first step (interpreter, libraries, rows), and what the steps took on top at most.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys

from benchmarks.printing import printer
from benchmarks.training_step import Worker, take_turns

ROWS = 240_000
GROWTH = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
PEERS = ("tensorflow", "faiss", "sklearn")


def measured(commands: dict[str, tuple], rounds: int) -> dict[str, tuple]:
    """Median seconds, ratio to the first, memory and result of each system."""
    workers = {name: Worker(sys.executable, *words) for name, words in commands.items()}
    steps = take_turns(workers, rounds)
    first = steps[next(iter(steps))]
    found = {}
    for name, worker in workers.items():
        seconds = statistics.median(step[0] for step in steps[name])
        ratio = statistics.median(step[0] / own[0] for step, own in zip(steps[name], first))
        memory = f"{worker.before:6.0f} + {worker.peak - worker.before:5.0f} MB"
        found[name] = (seconds, ratio, memory, worker)
        worker.close()
    return found


def tensorflow_memory() -> float:
    """Of a process that has done nothing but start TensorFlow, MB."""
    code = "import tensorflow as tf; tf.zeros(1); from benchmarks.worker import memory; "
    run = [sys.executable, "-c", code + "print(memory('VmRSS'))"]
    return float(subprocess.run(run, check=True, stdout=subprocess.PIPE).stdout)


def draw(growth: list[tuple[int, float, float]], path: str) -> None:
    """Seconds and memory against the number of rows, both axes logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure((8, 3.2), dpi=150, layout="constrained")
    rows = [row[0] for row in growth]
    for axes, column, title in zip(
        figure.subplots(1, 2), (1, 2), ("seconds a batch of 128", "memory of the process, MB")
    ):
        values = [row[column] for row in growth]
        axes.loglog(rows, values, "o-", color="C0")
        axes.loglog(
            rows, [values[-1] * n / rows[-1] for n in rows], "--", color="#707070", linewidth=1
        )
        axes.annotate(
            "proportional to rows",
            (rows[1], values[-1] * rows[1] / rows[-1]),
            (6, -10),
            textcoords="offset points",
            fontsize=8,
            color="#505050",
        )
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("rows of the bank")
        axes.grid(color="#e6e6e6", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def main() -> None:
    """Prints the four tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default="neighbours,kmeans,step,growth")
    parser.add_argument("--rounds", type=int, default=9, help="of all but k-means, which takes 3")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", help="file for the tables")
    parser.add_argument("--picture", help="PNG of the growth")
    options = parser.parse_args()
    say = printer(options.out)
    peers = [name for name in PEERS if name != "faiss" or importlib.util.find_spec("faiss")]
    if len(peers) < len(PEERS):
        say("no faiss: pip install faiss-cpu")
    parts, threads = options.parts.split(","), options.threads
    say(f"{threads} threads; a process with TensorFlow alone: {tensorflow_memory():.0f} MB")

    def compare(task: str, systems: list[str], k: int, rounds: int, unit: str) -> None:
        commands = {name: ("search", task, name, ROWS, k, threads) for name in systems}
        for name, (seconds, ratio, memory, worker) in measured(commands, rounds).items():
            say(
                f"  {name:11}{seconds:8.3f} s  x {ratio:5.2f}  {memory}  {unit} {worker.result:.1f}"
            )

    if "neighbours" in parts:
        for k in (512, 4096):
            say(f"the {k} nearest of {ROWS:,} rows, batch of 128")
            compare("neighbours", ["vie_tf", *peers], k, options.rounds, "sum of similarities")
    if "kmeans" in parts:
        say(f"k-means of {ROWS:,} rows, 8,000 clusters, 5 iterations and the last assignment")
        compare("kmeans", ["vie_tf", *peers[1:]], 8000, 3, "sum of squares")
    if "step" in parts:
        say(f"training step of single, batch 64, 112 pixels, bank of {ROWS:,} rows")
        step = ("vie_step", "single", 1, 112, 64, threads, "float32", "noise")
        commands = {"LA, K 512": (*step, "la"), "IR, K 4096": (*step, "ir")}
        for name, (seconds, ratio, memory, _) in measured(commands, options.rounds).items():
            say(f"  {name:11}{seconds:8.3f} s  x {ratio:5.2f}  {memory}")
    if "growth" in parts:
        say("the 512 nearest rows of a growing bank, batch of 128")
        growth = []
        for rows in GROWTH:
            command = {"vie_tf": ("search", "neighbours", "vie_tf", rows, 512, threads)}
            seconds, _, memory, worker = measured(command, 3)["vie_tf"]
            growth.append((rows, seconds, worker.peak))
            say(f"  {rows:>10,} rows {seconds:8.3f} s  {memory}")
        if options.picture:
            draw(growth, options.picture)


if __name__ == "__main__":
    main()
