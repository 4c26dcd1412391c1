"""What a machine with a GPU should do: checks that pass or fail, then how fast it is, in one run.

    python -m benchmarks.gpu --out=benchmarks/results/gpu.txt --torch_python=PATH    # make gpu

Installs nothing. Parts, each in processes of its own: numbers (bank, losses, gradients, colour
noise, neighbours and k-means against the processor's), families (two steps of each family and
loss), resume (killed and gone on with --deterministic, bit for bit), replicas (two, on parts of
one GPU if there is one), these four side by side; then parts (colour noise, neighbours, k-means,
the bank's update), steps (against the Keras and PyTorch twins, bfloat16), feed (the command
itself against its step alone). --tiny makes all so small that a processor does it. The exit
status is 1 where a check failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.printing import printer
from benchmarks.training_step import ROOT
from vie_tf.commands.command import prepare_gpus

CHECKS = "numbers families resume replicas".split()
PARTS = [*CHECKS, "parts", "steps", "feed"]
SHARES = 4  # processes that the families are shared among
BATCHES = {"single": 128, "resnet3d": 64, "slow": 64, "slowfast": 32}
# Milliseconds that are asked of an H200, which PyTorch's own took there.
GOALS = {
    "noise 128x1x224": 1.0,
    "noise 64x16x112": 3.0,
    "blur 128x1x224": 2.0,
    "blur 64x16x112": 6.0,
    "neighbours, K 512": 0.55,
    "neighbours, K 4096": 0.55,
    "k-means, 8000 clusters": 500.0,
    "vie:single:128": 10.7,
    "vie:resnet3d:64": 29.4,
    "vie:slow:64": 24.4,
    "vie:slowfast:32": 47.7,
}
FED = 0.9  # of the clips a second of its step alone, that the command is to reach
QUIET = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "TF_CPP_MIN_LOG_LEVEL": "3"}


def run(*words: str, env: dict | None = None) -> str:
    """Standard output of a Python program of ours; raises RuntimeError with its last lines."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, **QUIET, **(env or {})},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-3:]
        raise RuntimeError(f"status {done.returncode}: {' | '.join(last)}")
    return done.stdout


class Report:
    """One run: what is said, what was timed, what failed."""

    def __init__(self, options):
        self.options, self.say = options, printer(options.out)
        self.tiny = ["tiny"] if options.tiny else []
        self.times: dict[str, dict] = {}
        self.failed: list[str] = []

    def timed(self, python: str, module: str, *what: str) -> None:
        """Runs a module that times, and shows its lines as they come."""
        words = [python, "-m", f"benchmarks.{module}", *self.tiny, *what]
        clean = {n: v for n, v in os.environ.items() if not n.startswith("PYTHON")}
        env = {**(os.environ if python == sys.executable else clean), **QUIET}
        if python != sys.executable:
            env.pop("LD_LIBRARY_PATH", None)
        errors = tempfile.TemporaryFile("w+")
        process = subprocess.Popen(
            words, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        for line in process.stdout:
            if not line.startswith("{"):
                continue
            found = json.loads(line)
            self.times[found["what"]] = found
            goal = GOALS.get(found["what"])
            text = f"  {found['what']:34}{found['ms']:10.3f} ms"
            if "clips_per_second" in found:
                text += f"{found['clips_per_second']:9.0f} clips/s"
            if "gpu_memory" in found:
                text += f"  {found['gpu_memory']:.1f} GB"
            if "first_ms" in found:
                text += f"  first {found['first_ms'] / 1e3:.1f} s"
            if goal and not self.tiny:
                text += f"  goal {goal:g}: {'reached' if found['ms'] <= goal else 'missed'}"
            self.say(text)
        if process.wait():
            errors.seek(0)
            last = errors.read().strip().splitlines()[-3:]
            self.fail(f"{module} {' '.join(what)}: {' | '.join(last)}")

    def fail(self, what: str) -> None:
        self.failed.append(what)
        self.say(f"  FAILED {what}")

    def numbers(self, folder: Path) -> None:
        files = [str(folder / name) for name in ("gpu.npz", "processor.npz")]
        run("-m", "benchmarks.gpu_checks", "numbers", files[0])
        hidden = {"CUDA_VISIBLE_DEVICES": "-1"}
        run("-m", "benchmarks.gpu_checks", "numbers", files[1], env=hidden)
        code = "import sys; from benchmarks.gpu_checks import compare; "
        code += "print(chr(10).join(compare(*sys.argv[1:])), file=sys.stderr)"
        done = subprocess.run(
            [sys.executable, "-c", code, *files],
            cwd=ROOT,
            env={**os.environ, **QUIET},
            capture_output=True,
            text=True,
        )
        self.say(done.stdout.rstrip())
        for line in done.stderr.splitlines():
            if "differs by" in line:
                self.fail(line)
        if done.returncode:
            self.fail(f"compare: {done.stderr.strip().splitlines()[-1]}")

    def families(self, folder: Path) -> None:
        def share(part: int) -> str:
            return run("-m", "benchmarks.gpu_checks", "families", str(part), str(SHARES))

        with ThreadPoolExecutor(SHARES) as pool:
            shares = [pool.submit(share, part) for part in range(SHARES)]
        for done in shares:
            if error := done.exception():
                self.fail(f"families: {error}")
            else:
                self.say(done.result().rstrip())

    def replicas(self, folder: Path) -> None:
        self.say(run("-m", "benchmarks.gpu_checks", "replicas").rstrip())

    def videos(self, folder: Path, short_side: int) -> str:
        """Prepared moving digits, made once."""
        prepared = folder / f"prepared{short_side}"
        if not (folder / "videos").exists():
            run("-m", "data_prep.moving_digits", f"--out={folder / 'videos'}")
        if not prepared.exists():
            source = f"--source={folder / 'videos' / 'videos.csv'}"
            words = (source, f"--out={prepared}", f"--short_side={short_side}")
            run("-m", "data_prep.videos", *words)
        return str(prepared)

    def resume(self, folder: Path) -> None:
        """A run that is killed and goes on ends as one that was not, to the last bit."""
        small = "--image_size=32 --batch_size=16 --steps=40 --save_every=10 --log_every=1".split()
        command = ["-m", "vie_tf.main", f"--data={self.videos(folder, 64)}", *small]
        command += ["--deterministic", "--learning_rate=0.01", "--evaluate_every=100"]
        # Few enough videos that all are in the bank when Local Aggregation begins.
        command += [
            "--loss=vie",
            "--ir_steps=20",
            "--clusters=3",
            "--neighbours=48",
            "--subset=0.1",
        ]
        run(*command, f"--workdir={folder / 'whole'}")
        again, metrics = folder / "killed", folder / "killed" / "metrics.jsonl"
        process = subprocess.Popen(
            [sys.executable, *command, f"--workdir={again}"],
            cwd=ROOT,
            env={**os.environ, **QUIET},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and max(losses(metrics), default=0) < 24:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed = max(losses(metrics), default=0)
        run(*command, f"--workdir={again}")
        one, other = losses(folder / "whole" / "metrics.jsonl"), losses(metrics)
        self.say(f"  killed at step {killed}; last loss {one.get(40)}, gone on {other.get(40)}")
        if killed >= 40 or one != other:
            self.fail("a deterministic run does not go on bit for bit")

    def do(self, part: str, folder: Path) -> None:
        """A part of the run, whatever comes of it."""
        start = time.perf_counter()
        try:
            getattr(self, part)(folder)
        except Exception as error:  # the others are done in any case
            self.fail(f"{part}: {type(error).__name__}: {error}")
        self.say(f"  {part}: {time.perf_counter() - start:.0f} s")

    def parts(self, folder: Path) -> None:
        what = ("noise", "blur", "neighbours", "kmeans", "update")
        self.timed(sys.executable, "gpu_steps", *what)
        self.timed(sys.executable, "gpu_steps", "update:deterministic")

    def steps(self, folder: Path) -> None:
        each = [f"{family}:{batch}" for family, batch in BATCHES.items()]
        variants = [f"vie:single:{BATCHES['single']}:{way}" for way in ("plain", "la", "noxla")]
        self.timed(sys.executable, "gpu_steps", *[f"vie:{x}" for x in each], *variants)
        first = f"vie:single:{BATCHES['single']}:deterministic"
        self.timed(sys.executable, "gpu_steps", first)
        self.timed(sys.executable, "gpu_steps", *[f"keras:{x}" for x in each])
        if self.options.torch_python:
            self.timed(self.options.torch_python, "gpu_torch", *each)
        for x in each:
            ours = self.times.get(f"vie:{x}")
            peers = [self.times.get(f"{twin}:{x}") for twin in ("keras", "torch")]
            if ours and any(peers):
                said = [f"{p['what']} {ours['ms'] / p['ms']:.2f}" for p in peers if p]
                self.say(f"  vie:{x}, whole step, times that of {', '.join(said)}")

    def feed(self, folder: Path) -> None:
        """The command on prepared videos: clips a second of its last quarter, and of its step."""
        side, batch, steps = (32, 8, 8) if self.tiny else (224, BATCHES["single"], 400)
        data = self.videos(folder, 64 if self.tiny else 320)
        words = f"--image_size={side} --batch_size={batch} --steps={steps} --held_out=0".split()
        words += [f"--log_every={steps // 4}", "--noise_samples=4096", "--temperature=0.07"]
        run("-m", "vie_tf.main", f"--data={data}", f"--workdir={folder / 'fed'}", *words)
        lines = (folder / "fed" / "metrics.jsonl").read_text().splitlines()
        last = [json.loads(line) for line in lines if "clips_per_second" in line][-1]
        said = f"  {last['clips_per_second']:.0f} clips/s by the command, waiting for data "
        said += f"{last['data_wait']:.0%}"
        if step := self.times.get(f"vie:single:{batch}"):
            share = last["clips_per_second"] / step["clips_per_second"]
            said += f", {share:.2f} of its step alone (goal {FED})"
        self.say(said)


def losses(metrics: Path) -> dict[int, float]:
    """Training losses by step; a line that is being written is left out."""
    found = {}
    for line in metrics.read_text().splitlines() if metrics.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if "loss" in entry:
            found[entry["step"]] = entry["loss"]
    return found


def main() -> None:
    """Does the parts that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--torch_python", help="interpreter that has PyTorch; default: no twins")
    parser.add_argument("--out", help="file for all that is said")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.parts.split(",")) - set(PARTS):
        parser.error(f"--parts: no {', '.join(unknown)}; choose from {', '.join(PARTS)}")
    prepare_gpus()
    report = Report(options)
    code = "import tensorflow as tf; from vie_tf import device; "
    code += "print(f'TensorFlow {tf.__version__}; {device.gpus_in_words() or str()}')"
    report.say(f"{platform.machine()}, {os.cpu_count()} cores; {run('-c', code).strip()}")
    asked = options.parts.split(",")
    with tempfile.TemporaryDirectory() as folder:
        checks = [part for part in asked if part in CHECKS]
        if checks:
            report.say(", ".join(checks))
            with ThreadPoolExecutor(len(checks)) as pool:
                list(pool.map(report.do, checks, [Path(folder)] * len(checks)))
        for part in asked:
            if part not in CHECKS:
                report.say(part)
                report.do(part, Path(folder))
    report.say("failed: " + ("; ".join(report.failed) or "nothing"))
    sys.exit(bool(report.failed))


if __name__ == "__main__":
    main()
