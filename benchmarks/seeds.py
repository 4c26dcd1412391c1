"""Trains the same run with several seeds, and holds each network against its untrained self.

    python -m benchmarks.seeds --data=demo/prepared --workdir=build/demo_seeds \
        --picture=docs/curves_demo.png --flagfile=flags/demo.flags

What this script does not know goes to `vie_tf --mode=pretrain`. Recall at 1 is that of
metrics.jsonl, k-NN accuracy what `vie_tf --mode=knn` says. A finished run is not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

CURVES = (("recall_at_1", "recall at 1"), ("knn_top1", "k-NN accuracy"))


def vie_tf(*words: str) -> str:
    """Runs the command, shows what it says on standard error, and returns its last line."""
    command = [sys.executable, "-m", "vie_tf.main", *words]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return said.strip().splitlines()[-1]


def metric(workdir: Path, name: str) -> tuple[list[int], list[float]]:
    """Steps and values of a metric in a run's metrics.jsonl."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    found = [(line["step"], line[name]) for line in lines if name in line]
    return [step for step, _ in found], [value for _, value in found]


def draw(runs: list[Path], path: str) -> None:
    """One panel a metric, one line a run; what is written at a point is the last value."""
    figure = Figure(figsize=(8, 3), dpi=120, facecolor="white", layout="constrained")
    for axes, (name, title) in zip(figure.subplots(1, len(CURVES)), CURVES):
        for run in runs:
            steps, values = metric(run, name)
            axes.plot(
                steps, values, marker="o", markersize=3, label=f"{run.name}: {values[-1]:.3f}"
            )
        axes.set_title(f"{title} of held-out videos", loc="left", fontsize=10)
        axes.set_xlabel("step", fontsize=8)
        axes.set_ylim(0, 1)
        axes.legend(fontsize=8, frameon=False)
        axes.tick_params(labelsize=8)
        axes.grid(color="#e6e6e6", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def main() -> None:
    """Runs what is missing, prints the table, and draws the picture."""
    # --seed is not short for --seeds.
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data", required=True)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--picture", help="PNG of the curves")
    options, words = parser.parse_known_args()
    print("| seed | recall at 1, untrained | trained | 10-NN, untrained (95 %) | trained (95 %) |")
    print("|---|---|---|---|---|", flush=True)
    table, runs = [], []
    for seed in range(options.seeds):
        row, cells = [], []
        for more in (["--steps=0"], []):
            run = Path(options.workdir) / (f"seed {seed}" + (" untrained" if more else ""))
            shared = (f"--data={options.data}", f"--workdir={run}")
            vie_tf("--mode=pretrain", *shared, f"--seed={seed}", *words, *more)
            knn = json.loads(vie_tf("--mode=knn", *shared))
            recall = metric(run, "recall_at_1")[1][-1]
            row += [recall, knn["top1"]]
            cells += [
                f"{recall:.3f}",
                f"{knn['top1']:.3f} ({knn['top1_low']:.3f} to {knn['top1_high']:.3f})",
            ]
        runs.append(run)
        table.append(row)
        print("|", " | ".join([str(seed), *(cells[i] for i in (0, 2, 1, 3))]), "|", flush=True)
    mean = np.mean(table, axis=0)
    print("| mean |", " | ".join(f"{mean[i]:.3f}" for i in (0, 2, 1, 3)), "|")
    if options.picture:
        draw(runs, options.picture)


if __name__ == "__main__":
    main()
