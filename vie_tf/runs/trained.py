"""Loads the network of a run from its folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import tensorflow as tf

from vie_tf.data.augmentation import AUGMENTATIONS
from vie_tf.data.crops import TEN
from vie_tf.data.pipeline import TestClips
from vie_tf.data.sampling import Sampling
from vie_tf.errors import InputError
from vie_tf.keras2 import keras
from vie_tf.models import families
from vie_tf.models.input_single import input_single
from vie_tf.models.two_stream import two_stream
from vie_tf.runs import workdir
from vie_tf.settings import Evaluation, Settings

Loaded = TypeVar("Loaded")


def run_sampling(run: Settings) -> Sampling:
    """Returns which frames make the clips of a run."""
    return families.sampling_of(run.network.family, run.start.legacy, run.clips.frame_interval)


def read_network(folder: Path, any_size: bool = False) -> tuple[keras.Model, int]:
    """Returns the network of a run's newest checkpoint, in float32, and its step."""
    run = workdir.read_settings(folder)
    labels = len(workdir.read_data(folder)["label_names"]) if run.objective.labels else 0
    build = families.build_finetuned if run.finetunes else families.build
    network = build(
        run.network.family,
        None if any_size else run.clips.image_size,
        depth=run.network.depth,
        **run.objective.head(labels),
    )
    return network, restore_network(folder / "checkpoints", network)


def load_network(folder: Path, any_size: bool = False) -> tuple[keras.Model, int]:
    """As `read_network`, but also reports the network on standard error."""
    network, step = read_network(folder, any_size)
    print(f"{network.name} of {folder} at step {step}", file=sys.stderr)
    return network, step


def restore_network(folder: Path, network: keras.Model) -> int:
    """Loads only the network's weights from a run; returns the step.

    Raises:
        InputError: the folder holds no checkpoint, or as for `newest_readable`.
    """

    def load(path: str) -> int:
        wanted = tf.train.Checkpoint(network=network)
        wanted.restore(path).expect_partial().assert_existing_objects_matched()
        return int(tf.train.load_variable(path, "optimizer/_iterations/.ATTRIBUTES/VARIABLE_VALUE"))

    step = newest_readable(folder, load)
    if step is None:
        raise InputError(f"{folder} holds no checkpoint; run --mode=pretrain with its --workdir")
    return step


def newest_readable(folder: Path, load: Callable[[str], Loaded]) -> Loaded | None:
    """Returns the result of `load` for the newest readable checkpoint, or None if there is none.

    Raises:
        InputError: there are checkpoints, but none can be read.
    """
    state = tf.train.get_checkpoint_state(str(folder))
    paths = list(state.all_model_checkpoint_paths) if state else []
    for path in reversed(paths):
        try:
            return load(path)
        except (tf.errors.OpError, AssertionError, ValueError, IndexError) as error:
            unreadable = error
            print(f"{path} is damaged, or of another network; left out", file=sys.stderr)
    if paths:
        raise InputError(
            f"{folder}: no checkpoint can be read: they are damaged, or of another network or "
            "version; give another run's folder"
        ) from unreadable
    return None


@dataclass(frozen=True)
class Run:
    """A trained network, and what evaluations need to know about it.

    Attributes:
        network: in float32.
        clips: of a video in tests.
        said: its description in results: `workdir.said_of`, its step, and what it was made with.
    """

    network: keras.Model
    clips: TestClips
    said: dict[str, object]


def load_run(
    folder: Path,
    evaluation: Evaluation,
    second_workdir: Path | None = None,
    frames_of: str | None = None,
    frame_interval: int | None = None,
    any_size: bool = False,
) -> Run:
    """Loads the network of a run, with the clips that an evaluation asks for.

    Args:
        folder: of the run.
        evaluation: which clips of a video, and crops of a clip.
        second_workdir: of a run that makes it a two-stream model.
        frames_of: the family whose frames it sees, for the Input-Single control.
        frame_interval: of those frames.
        any_size: whether the network accepts clips of any height and width.

    Raises:
        InputError: there is no run, no readable checkpoint, or the networks do not fit together.
    """
    if frames_of:
        families.family_of(frames_of, "frames_of")
    run = workdir.read_settings(folder)
    network, step = load_network(folder, any_size)
    said = {**workdir.said_of(folder), "step": step}
    sampling = run_sampling(run)
    if (second_workdir or frames_of) and run.network.family != "single":
        raise InputError(f"{folder} holds a network of the family {run.network.family}, not single")
    if frames_of:
        sampling = families.sampling_of(frames_of, run.start.legacy, frame_interval)
        network = input_single(network, sampling.frames)
        said["frames_of"] = frames_of
    elif second_workdir:
        other = workdir.read_settings(second_workdir)
        ours, theirs = run.values(), other.values()
        for name in ("image_size", "depth"):
            if ours[name] != theirs[name]:
                raise InputError(
                    f"{second_workdir} was trained with --{name}={theirs[name]}, {folder} with "
                    f"--{name}={ours[name]}: both streams need the same"
                )
        sampling = run_sampling(other)
        if sampling.frames == 1:
            raise InputError(
                f"--second_workdir={second_workdir} holds a network of single frames too"
            )
        network = two_stream(network, load_network(second_workdir, any_size)[0])
        said |= {
            "second_family": other.network.family,
            "second_workdir": os.path.abspath(second_workdir),
        }
    crops = TEN if evaluation.ten_crop else AUGMENTATIONS[run.clips.augmentation].test
    clips = TestClips(sampling, run.clips.image_size, evaluation.clips, crops)
    return Run(network, clips, said)
