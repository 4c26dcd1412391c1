"""What a run needs to go on, on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import tensorflow as tf
from tensorflow import keras

from vie_tf.errors import InputError, reason
from vie_tf.trained import newest_readable

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
