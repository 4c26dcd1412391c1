"""What a run needs to go on, on disk."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from tensorflow import keras

from vie_tf.errors import InputError, reason

# Of a model, next to its optimizer.
PARTS = ("network", "bank", "clusters", "plateau")


class Checkpoints:
    """The last checkpoints of a run: network, optimizer with its step, memory bank, clusters.

    The step is the place in the data too, since the order of the clips is a function of it. A
    checkpoint is written under another name and renamed when it is whole, and the list of
    checkpoints changes only after that, so being killed or a full disk leaves the last one good.

    Args:
        folder: where they lie.
        model: compiled, with the `network` that learns, and those of `PARTS` that it has.
        keep: how many to keep.
    """

    def __init__(self, folder: Path, model: keras.Model, keep: int):
        model.optimizer.build(model.network.trainable_weights)
        self.model = model
        self._remove_parts(Path(folder))  # of a save that was killed
        self._checkpoint = tf.train.Checkpoint(
            optimizer=model.optimizer,
            **{name: part for name in PARTS if (part := getattr(model, name, None)) is not None},
        )
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(folder), keep)

    def save(self) -> None:
        """Writes a checkpoint of the current step.

        Raises:
            InputError: it cannot be written; earlier ones are untouched.
        """
        step = int(self.model.optimizer.iterations.numpy())
        try:
            self._manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            self._remove_parts(Path(self._manager.directory))
            raise InputError(
                f"cannot save step {step} in {self._manager.directory}: {reason(error)}; make "
                "room, then the same command goes on from the last checkpoint"
            ) from error

    @staticmethod
    def _remove_parts(folder: Path) -> None:
        for part in folder.glob("ckpt-*temp*"):
            shutil.rmtree(part) if part.is_dir() else part.unlink()

    def restore(self) -> int | None:
        """Loads the newest checkpoint; returns the steps it has taken, None where there is none.

        Raises:
            InputError: as `newest_readable`.
        """

        def load(path: str) -> int:
            self._checkpoint.restore(path).assert_consumed()
            return int(self.model.optimizer.iterations.numpy())

        return newest_readable(Path(self._manager.directory), load)


def restore_network(folder: Path, network: keras.Model) -> int:
    """Loads only the network's weights of a run; returns the step.

    Raises:
        InputError: the folder holds no checkpoint, or as `newest_readable`.
    """

    def load(path: str) -> int:
        wanted = tf.train.Checkpoint(network=network)
        wanted.restore(path).expect_partial().assert_existing_objects_matched()
        return _step(path)

    step = newest_readable(folder, load)
    if step is None:
        raise InputError(f"{folder} holds no checkpoint; run --mode=pretrain with its --workdir")
    return step


def saved_step(folder: Path) -> int | None:
    """The step of a run's newest checkpoint that can be read; None where there is none."""
    return newest_readable(folder, _step)


def _step(path: str) -> int:
    return int(tf.train.load_variable(path, "optimizer/_iterations/.ATTRIBUTES/VARIABLE_VALUE"))


def newest_readable(folder: Path, load: Callable[[str], int]) -> int | None:
    """What `load` returns of the newest checkpoint that it can read; None where there is none.

    Raises:
        InputError: there are checkpoints, and none can be read.
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
            f"{folder}: no checkpoint can be read: they are damaged, or were made by another "
            "version; use another --workdir"
        ) from unreadable
    return None
