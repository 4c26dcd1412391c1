"""The network of a run, from its folder."""

from __future__ import annotations

import sys
from pathlib import Path

from tensorflow import keras

from vie_tf import workdir
from vie_tf.data.sampling import Sampling
from vie_tf.models import families
from vie_tf.objectives import pretext
from vie_tf.training import checkpoints


def run_sampling(run: dict[str, str]) -> Sampling:
    """Which frames make the clips of a run, from its flags."""
    interval = run.get("frame_interval")
    return families.sampling_of(
        run["family"], run["legacy"] == "True", int(interval) if interval else None
    )


def read_network(folder: Path, any_size: bool = False) -> tuple[keras.Model, int]:
    """The network of a run with the weights of its newest checkpoint, in float32, and its step."""
    run = workdir.read_flags(folder)
    labels = len(workdir.read_data(folder)["label_names"]) if run["loss"] == "supervised" else 0
    build = families.build_finetuned if run.get("mode") == "finetune" else families.build
    network = build(
        run["family"],
        None if any_size else int(run["image_size"]),
        depth=int(run["depth"]),
        **pretext.head(run["loss"], labels),
    )
    return network, checkpoints.restore_network(folder / "checkpoints", network)


def load_checkpoint(folder: Path, any_size: bool = False) -> tuple[keras.Model, int]:
    """As `read_network`, and says on standard error what it is."""
    network, step = read_network(folder, any_size)
    print(f"{network.name} of {folder} at step {step}", file=sys.stderr)
    return network, step


def load_network(folder: Path, any_size: bool = False) -> keras.Model:
    """As `load_checkpoint`, without the step."""
    return load_checkpoint(folder, any_size)[0]
