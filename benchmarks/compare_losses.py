"""Instance Recognition, Local Aggregation, and the one after the other (VIE), at equal budget.

    python -m benchmarks.compare_losses --data=demo/prepared --workdir=build/losses \
        --flagfile=flags/demo.flags --steps=1200 --ir_steps=800 --drop=1000

A table in Markdown: mean over the seeds, smallest and largest in brackets, of held-out videos'
recall at 1 and k-NN accuracy (`vie_tf --mode=knn`), and of the bank's effective dimension. What
this script does not know goes to `vie_tf --mode=pretrain`. A finished run is not repeated; one that
was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from benchmarks.seeds import metric, vie_tf

LOSSES = ("untrained", "ir", "la", "vie")
MEASURES = ("recall at 1", "10-NN", "effective dimension")


def measured(run: Path, data: str) -> list[float]:
    """Each of MEASURES of a run."""
    knn = json.loads(vie_tf("--mode=knn", f"--data={data}", f"--workdir={run}"))
    recall, dimension = (
        metric(run, name)[1][-1] for name in ("recall_at_1", "effective_dimension")
    )
    return [recall, knn["top1"], dimension]


def main() -> None:
    """Runs what is missing and prints the table."""
    # --step is not short for --steps.
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data", required=True)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, required=True, help="in all")
    parser.add_argument("--ir_steps", type=int, required=True, help="of them by IR, in VIE")
    parser.add_argument(
        "--drop", type=int, required=True, help="of the learning rate, after a step"
    )
    options, words = parser.parse_known_args()
    found = {loss: [] for loss in LOSSES}
    for seed in range(options.seeds):
        for loss in LOSSES:
            run = Path(options.workdir) / f"{loss} {seed}"
            own = {
                "untrained": ["--steps=0"],
                "ir": ["--loss=ir", f"--lr_boundaries={options.drop}"],
                "la": ["--loss=la", f"--lr_boundaries={options.drop}"],
                "vie": [
                    "--loss=vie",
                    f"--ir_steps={options.ir_steps}",
                    f"--lr_boundaries={options.drop - options.ir_steps}",
                ],
            }[loss]
            flags = [*words, f"--steps={options.steps}", f"--evaluate_every={options.steps}", *own]
            vie_tf(
                "--mode=pretrain",
                f"--data={options.data}",
                f"--workdir={run}",
                f"--seed={seed}",
                *flags,
            )
            found[loss].append(measured(run, options.data))
    print(f"| | {' | '.join(MEASURES)} |\n{'|---' * (1 + len(MEASURES))}|")
    for loss, rows in found.items():
        cells = [
            f"{mean:.3g} [{low:.3g} to {high:.3g}]"
            for mean, low, high in zip(np.mean(rows, 0), np.min(rows, 0), np.max(rows, 0))
        ]
        print(f"| {loss} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
