"""The runs behind the constants for small data sets: one change at a time, on the demo's videos.

    python -m benchmarks.recipe --data=demo/prepared --out=benchmarks/results/recipe.txt

Each line is a run of `vie_tf --mode=pretrain` with the flags shown on top of `flags/demo.flags`,
cut to --steps, and the recall at 1 and digit k-NN accuracy of held-out videos after it. A finished
run in --workdir is not repeated. Exit status 1 when a run failed; its line says why.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from vie_tf.demo import accuracies

VARIANTS = (
    "",
    "--noise_samples=4096",
    "--learning_rate=0.03",
    "--learning_rate=0.1",
    "--learning_rate=0.003",
    "--bank_momentum=0.8",
    "--bank_momentum=0.95",
    "--temperature=0.07",
    "--temperature=0.1",
    "--temperature=0.4",
    "--bn_momentum=0.997",
    "--colour_noise=0,0,0,0,0",
    "--batch_size=32",
    "--image_size=48",
)


def main() -> int:
    """Runs what is missing, prints the table, and returns how many runs failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="demo/prepared")
    parser.add_argument("--workdir", default="build/recipe")
    parser.add_argument("--steps", default="800")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--out", help="file for the table")
    options = parser.parse_args()
    shared = [
        "--flagfile=flags/demo.flags",
        f"--steps={options.steps}",
        "--lr_boundaries=",
        f"--seed={options.seed}",
        f"--data={options.data}",
        f"--evaluate_every={options.steps}",
    ]
    lines = [
        f"{options.steps} steps, seed {options.seed}, flags/demo.flags with:",
        f"{'change':<28}{'recall at 1':>12}{'digit 10-NN':>13}",
    ]
    print("\n".join(lines), flush=True)
    failed = 0
    for variant in ("untrained", *VARIANTS):
        name = f"{variant.strip('-') or 'default'},steps={options.steps},seed={options.seed}"
        workdir = Path(options.workdir) / name
        words = ["--steps=0"] if variant == "untrained" else variant.split()
        run = subprocess.run(
            [
                sys.executable,
                "-m",
                "vie_tf.main",
                "--mode=pretrain",
                *shared,
                *words,
                f"--workdir={workdir}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if run.returncode:
            failed += 1
            lines.append(f"{variant:<28}{run.stderr.strip().splitlines()[-1]}")
        else:
            found = accuracies(Path(options.data), workdir)
            lines.append(
                f"{variant or '(default)':<28}{found['recall']:>12.3f}"
                f"{found['label']['top1']:>13.3f}"
            )
        print(lines[-1], flush=True)
    if options.out:
        Path(options.out).parent.mkdir(parents=True, exist_ok=True)
        Path(options.out).write_text("\n".join(lines) + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(min(main(), 1))
