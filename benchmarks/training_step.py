"""Every family's training step against the plainest Keras and PyTorch steps of the same network.

    python -m benchmarks.training_step --families=single,slow --out=benchmarks/results/step.txt
    python -m benchmarks.training_step --bfloat16

PyTorch (CPU) lives in an environment of its own; where it is missing, its column is left out:

    python -m venv build/torch && build/torch/bin/pip install torch==2.13.0 numpy

The twins (keras_twins.py, torch_twins.py) classify random clips: softmax cross-entropy on a 128-d
head, momentum, weight decay. Ours (vie_step.py) does all of VIE on top: colour noise, noise
samples, bank, L2. As colour noise is in our step, but in most people's data loader, ours is
there twice: whole (`vie_tf`), and on clips as they are (`plain`), as the twins take them.

Each system is a process; they take turns, one step at a time with the others stopped; the figure
is the median of the rounds' ratios of seconds, below 1 where ours is faster. Seconds mean something
only on a machine that does nothing else: `other` is the number of cores that everything else kept
busy meanwhile. Ratios of CPU seconds of all threads bear more.

--bfloat16 compares our own float32 and bfloat16 steps instead and takes 200 steps in bfloat16.
"""

from __future__ import annotations

import argparse
import atexit
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import shapes
from benchmarks.printing import printer

ROOT = Path(__file__).resolve().parent.parent

BATCHES = {"single": 32, "vanilla3d": 4, "slowfast": 4}  # of others 8
# Frames, image size and batch size.
FAMILIES = {name: (*clip, BATCHES.get(name, 8)) for name, clip in shapes.CLIPS.items()}
BFLOAT16_FAMILIES = ("single", "resnet3d", "slow")
BFLOAT16_STEPS = 200
TOLERANCE, GAIN = 1.05, 1.5


class Worker:
    """A system in its process, which is stopped except in `step`: what it reads ahead counts.

    Args:
        python: that runs it.
        arguments: of `benchmarks.worker`.
        root: the repository whose code it is.

    Attributes:
        size: of what it works on: parameters that it trains, or rows that it searches.
        steps: taken, without those of the warm-up.
        lost: the first of them whose result was not finite, or 0.
        result: of the last step.
        before: memory of the process before the first step, MB.
        peak: most memory of the process since, MB.
    """

    def __init__(self, python: str, *arguments, root: Path = ROOT):
        self.name = f"{arguments[0]} of {arguments[1]}"
        # Waiting threads of PyTorch sleep instead of taking the cores from the next system.
        quiet = {"OMP_WAIT_POLICY": "PASSIVE", "TF_CPP_MIN_LOG_LEVEL": "2"}
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", *map(str, arguments)],
            cwd=root,
            env={**os.environ, **quiet, "PYTHONPATH": str(root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.close)  # stopped, it would not see that this process ends
        size, before = self.read()[1:]
        self.process.send_signal(signal.SIGSTOP)
        self.size, self.before, self.steps, self.lost = int(size), float(before), 0, 0

    def read(self) -> list[str]:
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name}: the process ended with {self.process.wait()}")
        return line.split()

    def step(self) -> tuple[float, float, float]:
        """Seconds, CPU seconds, and how many cores were busy with something else meanwhile."""
        start, busy = time.perf_counter(), busy_seconds()
        self.process.send_signal(signal.SIGCONT)
        print("go", file=self.process.stdin, flush=True)
        seconds, own, self.result, self.peak = map(float, self.read())
        self.process.send_signal(signal.SIGSTOP)
        self.steps += 1
        if not math.isfinite(self.result) and not self.lost:
            self.lost = self.steps
        other = busy_seconds() - busy - own
        return seconds, own, max(0.0, other / (time.perf_counter() - start))

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def busy_seconds() -> float:
    """CPU seconds of the whole machine since it started; nan where Linux does not tell."""
    try:
        ticks = list(map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9]))
    except OSError:
        return math.nan
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # less idle and iowait


def take_turns(workers: dict[str, Worker], rounds: int) -> dict[str, list[tuple]]:
    """What `Worker.step` returns, of each system's steps."""
    steps = {name: [] for name in workers}
    for turn in range(rounds):
        # Everybody follows everybody else, and is first, equally often.
        names = list(workers)[turn % len(workers) :] + list(workers)[: turn % len(workers)]
        for name in names[:: 1 if turn // len(workers) % 2 else -1]:
            steps[name].append(workers[name].step())
    return steps


def ratio(ours: list[tuple], peer: list[tuple]) -> tuple[float, str]:
    """Median ratio of seconds; with its quartiles and the median ratio of CPU seconds as text."""
    wall = [a[0] / b[0] for a, b in zip(ours, peer)]
    cpu = statistics.median(a[1] / b[1] for a, b in zip(ours, peer))
    low, median, high = statistics.quantiles(wall, n=4, method="inclusive")
    return median, f"{median:.2f} ({low:.2f} to {high:.2f}), {cpu:.2f}"


def systems_of(options: argparse.Namespace, say: Callable) -> dict[str, tuple[str, ...]]:
    """Name to interpreter, module and what else its make_step takes; ours is first."""
    ours = (sys.executable, "vie_step")
    if options.bfloat16:
        systems = {"float32": (*ours, "float32"), "bfloat16": (*ours, "bfloat16")}
    else:
        systems = {"vie_tf": (*ours, "float32"), "keras": (sys.executable, "keras_twins")}
        if Path(options.torch_python).exists():
            systems["torch"] = (options.torch_python, "torch_twins")
        else:
            say(f"no {options.torch_python}: without PyTorch (--help says how to install it)")
        systems["plain"] = (*ours, "float32", "plain")
    return systems


def sizes_of(family: str, options: argparse.Namespace) -> tuple[int, int, int]:
    """Frames, image size and batch size of a family's clips."""
    if family not in FAMILIES:
        sys.exit(f"--families={family}: unknown; choose from {', '.join(FAMILIES)}")
    frames, image_size, batch_size = FAMILIES[family]
    return frames, options.image_size or image_size, options.batch_size or batch_size


def started(systems: dict[str, tuple[str, ...]], sizes: tuple) -> dict[str, Worker]:
    """Starts each system, with networks of one size."""
    workers = {}
    for name, (python, module, *more) in systems.items():
        workers[name] = Worker(python, module, *sizes, *more)
    counts = {name: worker.size for name, worker in workers.items()}
    if len(set(counts.values())) > 1:
        sys.exit(f"{sizes[0]}: not the same network: parameters {counts}")
    return workers


def close(workers: dict[str, Worker], say: Callable) -> None:
    """Ends the systems; says where losses were not finite."""
    for name, worker in workers.items():
        if worker.lost:
            say(f"  {name}: the loss of step {worker.lost} is not finite")
        elif worker.steps >= BFLOAT16_STEPS:
            say(f"  {name}: the loss of all {worker.steps} steps is finite")
        worker.close()


def main() -> None:
    """Prints a row for each family."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", help="comma-separated; default all")
    parser.add_argument("--image_size", type=int, help="default: the family's own")
    parser.add_argument("--batch_size", type=int, help="default: 4 to 32, by family")
    parser.add_argument("--rounds", type=int, default=15, help="2 or more")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--torch_python", default=str(ROOT / "build/torch/bin/python"))
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--out", help="file for the table and every step's seconds")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("--rounds: at least 2")
    say = printer(options.out)
    systems = systems_of(options, say)
    first, *others = systems
    say(
        f"{options.threads} threads, {options.rounds} rounds; medians of clips a second, "
        "and of ratios of seconds (quartiles), of CPU seconds"
    )
    heading = "".join(f"{name:>10}" for name in systems)
    heading += "".join(f"{f'{first} / {name}':>28}" for name in others)
    say(f"{'family':9}{'pixels':>7}{'batch':>6}{heading}{'other':>7}")
    default = BFLOAT16_FAMILIES if options.bfloat16 else FAMILIES
    missed = {name: [] for name in systems}
    for family in options.families.split(",") if options.families else default:
        frames, image_size, batch_size = sizes_of(family, options)
        workers = started(systems, (family, frames, image_size, batch_size, options.threads))
        steps = take_turns(workers, options.rounds)
        medians = {name: statistics.median(s[0] for s in steps[name]) for name in systems}
        ratios = {name: ratio(steps[first], steps[name]) for name in others}
        other = statistics.median(s[2] for name in systems for s in steps[name])
        row = "".join(f"{batch_size / medians[name]:10.2f}" for name in systems)
        row += "".join(f"{ratios[name][1]:>28}" for name in others)
        say(f"{family:9}{image_size:7}{batch_size:6}{row}{other:7.2f}")
        for name in systems:
            say(f"  {name}: {' '.join(f'{s[0]:.4f}' for s in steps[name])}", show=False)
        if options.bfloat16:
            for _ in range(BFLOAT16_STEPS - options.rounds):
                workers["bfloat16"].step()
            if ratios["bfloat16"][0] < GAIN:
                missed["bfloat16"].append(family)
        else:
            twin = min({"keras", "torch"} & set(systems), key=medians.get)
            for name in ("vie_tf", "plain"):
                if ratio(steps[name], steps[twin])[0] > TOLERANCE:
                    missed[name].append(family)
        close(workers, say)
    missed = {name: ", ".join(which) or "none" for name, which in missed.items()}
    if options.bfloat16:
        say(f"bfloat16 less than {GAIN} times as fast as float32: {missed['bfloat16']}")
    else:
        say(f"more than 5 % slower than the faster twin: {missed['vie_tf']}")
        say(f"and without colour noise, which the twins do without: {missed['plain']}")


if __name__ == "__main__":
    main()
