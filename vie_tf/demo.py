"""The whole of VIE on videos that it makes itself: `make demo`.

Runs the commands that a user would type, prints them, and ends with the result: how well held-out
videos are recognised before and after training.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import subprocess
import sys
import time
from pathlib import Path

from vie_tf.commands import command

FLAGFILE = "flags/demo.flags"


def call(*command: str, stdout: Path | None = None) -> None:
    """Prints a command and runs it, its output into a file if one is given; exits if it fails."""
    print(
        f"\n\033[1m$ {shlex.join(command)}\033[0m"
        if sys.stdout.isatty()
        else f"\n$ {shlex.join(command)}",
        flush=True,
    )
    words = (
        [sys.executable, *command[1:]]
        if command[0] == "python"
        else [sys.executable, "-m", "vie_tf.main", *command[1:]]
    )
    with open(stdout, "w") if stdout else contextlib.nullcontext() as file:
        status = subprocess.run(words, stdout=file).returncode
    if status:
        sys.exit(status)


def accuracies(prepared: Path, workdir: Path) -> dict[str, dict]:
    """Returns k-NN accuracy of held-out digits and motions, and recall at 1, of a run's network."""
    from vie_tf.data.pipeline import TestClips
    from vie_tf.data.videos import open_videos
    from vie_tf.evaluation import embed
    from vie_tf.evaluation.knn import knn_accuracy
    from vie_tf.runs.trained import load_network, run_sampling
    from vie_tf.runs.workdir import read_settings

    network, _ = load_network(workdir)
    run = read_settings(workdir)
    clips = TestClips(run_sampling(run), run.clips.image_size)
    compute = embed.embedder(network)
    found, embedded = {}, {}
    for column in ("label", "motion"):
        videos = open_videos(str(prepared), label_column=column)
        sets = {split: videos.subset(videos.splits == split) for split in ("train", "test")}
        for split in set(sets) - set(embedded):
            embedded[split] = embed.embed_clips(compute, sets[split], clips)
        found[column] = knn_accuracy(
            embedded["test"],
            sets["test"].labels,
            embed.video_embeddings(embedded["train"]),
            sets["train"].labels,
            len(videos.label_names),
        )
    found["recall"] = embed.instance_recall(compute, sets["test"], clips)()
    return found


def report(before: dict, after: dict, videos: int) -> str:
    """Returns the final table, and how to read it."""

    def row(name, one, two, chance):
        return f"  {name:<34}{one:>9}{two:>9}{chance:>9}"

    def share(x):
        return f"{x:.3f}"

    lines = [row("held-out videos", "before", "after", "chance")]
    lines.append(
        row("recall at 1", share(before["recall"]), share(after["recall"]), share(1 / videos))
    )
    for column, name, classes in (("label", "digit", 10), ("motion", "motion", 6)):
        lines.append(
            row(
                f"10-NN accuracy, {name}",
                share(before[column]["top1"]),
                share(after[column]["top1"]),
                share(1 / classes),
            )
        )
    low, high = after["label"]["top1_low"], after["label"]["top1_high"]
    lines.append(f"  95 % interval of the digit's accuracy after training: {low:.3f} to {high:.3f}")
    lines.append("""
  Recall at 1: how often one augmented frame of a video's first half finds the second half of the
  same video among all held-out ones. No label is used: it is what Instance Recognition trains,
  on videos it has not seen.
  10-NN accuracy: the label of a held-out video guessed from its ten nearest training videos. The
  digit is appearance, which a single frame shows. The motion is not in a single frame, so
  VIE-Single cannot see it: that row stays near chance, and is what the families with several
  frames are for.""")
    return "\n".join(lines)


def main() -> None:
    """Runs everything under --out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="demo", help="folder for all results")
    parser.add_argument("--flagfile", default=FLAGFILE, help="of the training")
    parser.add_argument("--seed", default="0", help="of the training")
    options = parser.parse_args()
    start, out = time.monotonic(), Path(options.out)
    videos, prepared = out / "videos", out / "prepared"
    untrained, run = out / "untrained", out / "run"
    training = [f"--flagfile={options.flagfile}", f"--data={prepared}", f"--seed={options.seed}"]
    call("python", "-m", "data_prep.moving_digits", f"--out={videos}")
    call(
        "python",
        "-m",
        "data_prep.videos",
        f"--source={videos / 'videos.csv'}",
        f"--out={prepared}",
        "--short_side=64",
    )
    call("vie_tf", "--mode=pretrain", *training, f"--workdir={untrained}", "--steps=0")
    call("vie_tf", "--mode=pretrain", *training, f"--workdir={run}")
    call(
        "vie_tf",
        "--mode=retrieve",
        f"--data={prepared}",
        f"--workdir={run}",
        f"--out={out / 'retrieval.png'}",
        stdout=out / "retrieval.txt",
    )
    call("vie_tf", "--mode=export", f"--workdir={run}", f"--out={out / 'saved_model'}")
    print("\nk-NN of both networks …", flush=True)
    command.prepare_environment()
    command.import_tensorflow()
    command.start_compiler()
    before, after = (accuracies(prepared, folder) for folder in (untrained, run))
    held_out = before["label"]["videos"]
    print(f"\n{report(before, after, held_out)}\n")
    for path, what in (
        (videos, "the videos, and videos.csv with their labels"),
        (prepared, "prepared for training; manifest.csv lists every video"),
        (run, "the run: checkpoints, metrics.jsonl, tensorboard"),
        (run / "curves.png", "how it learned"),
        (out / "retrieval.png", "five held-out videos and their nearest training videos"),
        (out / "retrieval.txt", "the same of all held-out videos"),
        (out / "saved_model", "the network, for tf.saved_model.load"),
    ):
        print(f"  {str(path):<24} {what}")
    print(f"\n  {(time.monotonic() - start) / 60:.1f} minutes in all")


if __name__ == "__main__":
    main()
