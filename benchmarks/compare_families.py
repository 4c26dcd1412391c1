"""What families see of the demo's videos: appearance (the digit) and dynamics (the motion).

    python -m benchmarks.compare_families --data=demo/prepared --workdir=build/families \
        --picture=docs/families.png

Trains VIE-Single, 3DResNet, Slow and SlowFast with several seeds and the same budget, makes the
two-stream models of them, and holds each against its untrained self. Every network is asked for
both labels by k-NN (embedding) and by a linear classifier (the last tap's mean), and for recall
at 1. The videos are short (25 frames), so frames are four times as close as in the paper.

What this script does not know goes to `vie_tf --mode=pretrain`. It can be stopped and goes on: what
was trained or measured is not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from vie_tf.data.augmentation import VIE_AUGMENTATION
from vie_tf.data.pipeline import TestClips
from vie_tf.data.videos import open_videos
from vie_tf.evaluation import embed
from vie_tf.evaluation.knn import knn_accuracy
from vie_tf.evaluation.linear import linear_probabilities
from vie_tf.evaluation.taps import mean
from vie_tf.keras2 import keras
from vie_tf.models.resnet import last_tap
from vie_tf.models.two_stream import two_stream
from vie_tf.output import whole
from vie_tf.runs import workdir
from vie_tf.runs.trained import load_network, run_sampling

# Not mirrored: that makes left of right, and of clockwise the contrary.
BUDGET = (
    "--batch_size=64 --image_size=32 --steps=800 --lr_boundaries=640 --noflip --evaluate_every=800"
).split()
# Of each family a run; the frames of a clip span 16 of a video's 25, but for Slow's 13.
RUNS = {
    "single": [],
    "resnet3d": [],
    "slow": ["--frame_interval=4"],
    "slowfast": ["--frame_interval=1"],
}
# Of which runs a network is made; of two, the two-stream model.
NETWORKS = {
    "Single": ("single",),
    "3DResNet": ("resnet3d",),
    "Slow": ("slow",),
    "SlowFast": ("slowfast",),
    "TwoStream-S": ("single", "slow"),
    "TwoStream-SF": ("single", "slowfast"),
}
LABELS = {"label": "digit", "motion": "motion"}
MEASURES = [f"{name} {way}" for name in LABELS.values() for way in ("10-NN", "linear")]
MEASURES.append("recall at 1")


def train(folder: Path, family: str, data: str, seed: int, words: list[str]) -> None:
    """Runs `vie_tf --mode=pretrain`, which goes on where it was, or has nothing left to do."""
    command = [sys.executable, "-m", "vie_tf.main", "--mode=pretrain", f"--family={family}"]
    command += [f"--data={data}", f"--workdir={folder}", f"--seed={seed}"]
    subprocess.run([*command, *BUDGET, *RUNS[family], *words], check=True)


def load(folders: list[Path]) -> tuple[keras.Model, TestClips]:
    """The network of a run, or the two-stream model of two, and its clips in tests."""
    networks = [load_network(folder)[0] for folder in folders]
    network = networks[0] if len(networks) == 1 else two_stream(*networks)
    run = workdir.read_settings(folders[-1])
    return network, TestClips(run_sampling(run), run.clips.image_size)


def measured(network: keras.Model, clips: TestClips, data: str, flip: bool) -> dict:
    """What a network sees of the held-out videos: each of MEASURES in 0..1."""

    @tf.function(reduce_retracing=True)
    def both(clip):
        outputs = network(clip, training=False)
        taps = {name: x for name, x in outputs.items() if name.startswith("encode_")}
        return tf.concat([outputs["embedding"], mean(last_tap(taps))], axis=1)

    dimension = network.output_shape["embedding"][-1]
    found, rows, videos = {}, {}, {}
    for column, name in LABELS.items():
        all_videos = open_videos(data, label_column=column)
        for split in ("train", "test"):
            videos[split] = all_videos.subset(all_videos.splits == split)
            if split not in rows:
                rows[split] = embed.embed_clips(both, videos[split], clips, split)
        embeddings = {split: x[..., :dimension] for split, x in rows.items()}
        labels = {split: x.labels for split, x in videos.items()}
        found[f"{name} 10-NN"] = knn_accuracy(
            embeddings["test"],
            labels["test"],
            embed.video_embeddings(embeddings["train"]),
            labels["train"],
            len(all_videos.label_names),
        )["top1"]
        features = {split: np.concatenate(x[..., dimension:]) for split, x in rows.items()}
        of = {split: np.repeat(np.arange(len(x)), x.shape[1]) for split, x in rows.items()}
        guessed = linear_probabilities(
            features["train"],
            of["train"],
            labels["train"],
            features["test"],
            of["test"],
            len(all_videos.label_names),
        ).argmax(axis=1)
        found[f"{name} linear"] = float((guessed == labels["test"]).mean())
    found["recall at 1"] = embed.instance_recall(
        embed.embedder(network),
        videos["test"],
        clips,
        replace(VIE_AUGMENTATION, flip=flip),
    )()
    return found


def of_all_seeds(results: dict, name: str, state: str) -> list[dict]:
    """What was measured of a network, trained or untrained, with each seed."""
    return [row for key, row in results.items() if key.startswith(f"{name}, {state}, ")]


def table(results: dict) -> str:
    """Means over the seeds, if several with the smallest and largest in brackets, in Markdown."""

    def cell(values: list[float]) -> str:
        spread = f" ({min(values):.2f}–{max(values):.2f})" if len(values) > 1 else ""
        return f"{np.mean(values):.2f}{spread}"

    lines = [f"| | | {' | '.join(MEASURES)} |", "|---" * (2 + len(MEASURES)) + "|"]
    for name in NETWORKS:
        for state in ("untrained", "trained"):
            if runs := of_all_seeds(results, name, state):
                cells = [cell([run[measure] for run in runs]) for measure in MEASURES]
                lines.append(f"| {name} | {state} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(results: dict, path: str) -> None:
    """Appearance against dynamics: a panel for each way to ask, a mark for each run."""
    figure = Figure(figsize=(9, 4.2), dpi=120, facecolor="white", layout="constrained")
    for axes, way in zip(figure.subplots(1, 2, sharey=True), ("10-NN", "linear")):
        for number, name in enumerate(NETWORKS):
            for state, face in (("untrained", "white"), ("trained", f"C{number}")):
                runs = of_all_seeds(results, name, state)
                axes.scatter(
                    [run[f"digit {way}"] for run in runs],
                    [run[f"motion {way}"] for run in runs],
                    s=36,
                    marker="osD^vP"[number],
                    facecolor=face,
                    edgecolor=f"C{number}",
                    label=name if state == "trained" else None,
                )
        axes.axvline(1 / 10, color="#999999", linewidth=0.8, linestyle=":")
        axes.axhline(1 / 6, color="#999999", linewidth=0.8, linestyle=":")
        axes.set(xlim=(0, 1), ylim=(0, 1.04))  # room for the marks at 1
        axes.set_title(f"{way} accuracy of held-out videos", loc="left", fontsize=10)
        axes.set_xlabel("digit (appearance)", fontsize=9)
        axes.grid(color="#e6e6e6", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    axes = figure.axes[0]
    axes.set_ylabel("motion (dynamics)", fontsize=9)
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(NETWORKS),
        fontsize=8,
        frameon=False,
        title="filled: trained; hollow: untrained; dotted: chance",
        title_fontsize=8,
    )
    figure.savefig(path)


def main() -> None:
    """Trains and measures what is missing, prints the table, and draws the picture."""
    # --seed is not short for --seeds.
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--data", required=True, help="the demo's videos, prepared")
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--picture", help="PNG of the accuracies")
    options, words = parser.parse_known_args()
    out = Path(options.workdir)
    out.mkdir(parents=True, exist_ok=True)
    file = out / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    runs = {"data": str(Path(options.data).resolve()), "budget": [*BUDGET, *words]}
    noted = out / "runs.json"
    if results and noted.exists() and json.loads(noted.read_text()) != runs:
        sys.exit(f"{out} holds runs on other videos or with other flags: use another --workdir")
    noted.write_text(json.dumps(runs))
    for seed in range(options.seeds):
        for name in NETWORKS:
            for state, more in (("untrained", ["--steps=0"]), ("trained", [])):
                key = f"{name}, {state}, seed {seed}"
                if key in results:
                    continue
                folders = [out / f"{run} {state} {seed}" for run in NETWORKS[name]]
                for run, folder in zip(NETWORKS[name], folders):
                    train(folder, run, options.data, seed, [*words, *more])
                keras.backend.clear_session()
                flip = workdir.read_settings(folders[0]).clips.flip
                results[key] = measured(*load(folders), options.data, flip)
                with whole(file) as part:
                    part.write_text(json.dumps(results, indent=1) + "\n")
                print(key, *(f"{k} {v:.3f}" for k, v in results[key].items()), sep="; ", flush=True)
    print(table(results))
    if options.picture:
        draw(results, options.picture)


if __name__ == "__main__":
    main()
