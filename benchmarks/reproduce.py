"""The paper's chain on a small set of videos: pre-training, k-NN, read-out, fine-tuning, retrieval.

    python -m benchmarks.reproduce --data=digits/prepared --settings=flags/digits \
        --labels=label,motion --out=digits

Each part is a command that is printed before it runs. The settings are flagfiles in one folder:
vie_*.flags of each pre-training, evaluate.flags of k-NN and read-outs, finetune.flags of
fine-tuning, the same from either start. With every seed each network is pre-trained and, beside an
untrained one, evaluated for each label; then it is fine-tuned from scratch and from VIE, with both
augmentations of the paper. OUT/report has the tables and plots of all seeds.

Stop it whenever you like: the same command goes on, and what is finished is not done again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vie_tf.demo import call
from vie_tf.output import whole
from vie_tf.progress import duration

AUGMENTATIONS = ("multi_scale", "colour_noise")  # "Multi-scale" and "Color-noise"
# What a network is made of: the same from scratch as from VIE.
NETWORK = "family depth image_size frame_interval".split()


class Part(NamedTuple):
    """One command of the chain; parts of one name differ in the seed alone, and take as long."""

    name: str
    words: list[str]
    run: Path  # its --workdir


def read(file: Path) -> list[str]:
    """The flags of a flagfile, without its comments."""
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        sys.exit(f"reproduce: {file}: {error.strerror}; --settings takes a folder of flagfiles")
    return [line.strip() for line in lines if line.startswith("--")]


def chain(data: str, settings: Path, labels: list[str], seeds: int, out: Path) -> list[Part]:
    """All commands, in order.

    Args:
        data: prepared videos with both splits.
        settings: folder of flagfiles.
        labels: columns of the data.
        seeds: how many, from 0 on.
        out: folder for everything.
    """
    families = {file.stem: read(file) for file in sorted(settings.glob("vie_*.flags"))}
    if not families:
        sys.exit(f"reproduce: {settings} has no vie_*.flags; give a folder like flags/digits")
    learning, evaluate = (read(settings / f"{mode}.flags") for mode in ("finetune", "evaluate"))
    parts = []

    def add(name: str, run: Path, *words: str) -> None:
        parts.append(Part(name, [*words, f"--data={data}", f"--workdir={run}"], run))

    for seed in range(seeds):
        for family, flags in families.items():
            trained = out / "runs" / f"{family} {seed}"
            untrained = out / "runs" / f"{family} untrained {seed}"
            for run, more in ((untrained, ["--steps=0"]), (trained, [])):
                what = run.name.rsplit(" ", 1)[0]
                add(what, run, "--mode=pretrain", *flags, *more, f"--seed={seed}")
                for label in labels:
                    own = (*evaluate, f"--label_column={label}")
                    add(f"k-NN of {what}, {label}", run, "--mode=knn", *own)
                    more = ("--cached", f"--seed={seed}")
                    add(f"read-out of {what}, {label}", run, "--mode=readout", *own, *more)
            network = [flag for flag in flags if flag[2:].split("=")[0] in NETWORK]
            for label in labels:
                for way in AUGMENTATIONS:
                    for start in ("scratch", "vie"):
                        what = f"{family} {label} {way} {start}"
                        own = [f"--label_column={label}", f"--augmentation={way}", f"--seed={seed}"]
                        if start == "vie":
                            own.append(f"--start_from={trained}")
                        run = out / "runs" / f"{what} {seed}"
                        add(what, run, "--mode=finetune", *network, *learning, *own)
    for family in families:
        picture = f"--out={out / f'nearest {family}.png'}"
        run = out / "runs" / f"{family} 0"
        add(f"nearest videos of {family}", run, "--mode=retrieve", picture)
    return parts


def run(parts: list[Part], out: Path) -> float:
    """Runs the parts that are not done, and notes each that is in OUT/done.jsonl.

    Returns:
        The minutes that all of them took, now or before.
    """
    noted = out / "done.jsonl"
    done = [json.loads(line) for line in noted.read_text().splitlines()] if noted.exists() else []
    known, finished = [part.words for part in parts], [line["words"] for line in done]
    if any(words not in known for words in finished):
        sys.exit(f"reproduce: {out} holds a chain of other settings: give another --out")
    out.mkdir(parents=True, exist_ok=True)
    left = [part for part in parts if part.words not in finished]
    for number, part in enumerate(left):
        eta = f"  ETA {duration(seconds_left(left[number:], done))}" if done else ""
        print(f"\n[{len(done) + 1}/{len(parts)}] {part.name}{eta}", end="", flush=True)
        began = time.monotonic()
        call("vie_tf", *part.words)
        seconds = round(time.monotonic() - began, 1)
        done.append({"name": part.name, "seconds": seconds, "words": part.words})
        with whole(noted) as file:
            file.write_text("".join(json.dumps(line) + "\n" for line in done))
        if "--mode=finetune" in part.words:  # its network, 300 MB, is not asked again
            for weights in ("checkpoints", "best"):
                shutil.rmtree(part.run / weights, ignore_errors=True)
    return sum(line["seconds"] for line in done) / 60


def seconds_left(left: list[Part], done: list[dict]) -> float:
    """What parts will take: as those of their name did on average, or else as an average part."""
    took: dict[str, list[float]] = {}
    for line in done:
        took.setdefault(line["name"], []).append(line["seconds"])
    average = [line["seconds"] for line in done]
    return sum(float(np.mean(took.get(part.name, average))) for part in left)


def main() -> None:
    """Does what is not done, and reports."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--data", required=True, help="prepared videos, with both splits")
    parser.add_argument("--settings", required=True, type=Path, help="folder of flagfiles")
    parser.add_argument("--labels", default="label", help="columns of the data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", required=True, type=Path, help="folder for everything")
    options = parser.parse_args()
    out, labels = options.out, options.labels.split(",")
    parts = chain(options.data, options.settings, labels, options.seeds, out)
    # Ctrl-C is for the command under way, which saves and ends; so does the chain then.
    signal.signal(signal.SIGINT, lambda *_: None)
    minutes = run(parts, out)
    call("vie_tf", "--mode=report", f"--workdirs={out / 'runs'}", f"--out={out / 'report'}")
    print(f"{len(parts)} commands in {minutes:.0f} minutes: {out / 'report' / 'report.md'}")


if __name__ == "__main__":
    main()
