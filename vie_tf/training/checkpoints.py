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
# State by its place in a checkpoint, and those of it that the first versions kept in types for
# which GPUs have no kernels.
STATE = {
    "bank": ("rows", "parts", "labels", "visited"),
    "clusters": ("labels", "next_labels"),
    "plateau": ("best", "waited", "drops"),
}
FIRST_TYPES = {
    "bank": {"visited": tf.bool},
    "clusters": {"labels": tf.int32, "next_labels": tf.int32},
    "plateau": {"waited": tf.int32, "drops": tf.int32},
}


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
        self._parts = {name: getattr(model, name, None) for name in PARTS}
        self._parts = {name: part for name, part in self._parts.items() if part is not None}
        self._checkpoint = tf.train.Checkpoint(optimizer=model.optimizer, **self._parts)
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
            types = tf.train.load_checkpoint(path).get_variable_to_dtype_map()
            if any(
                types.get(f"{part}/{name}/.ATTRIBUTES/VARIABLE_VALUE") == dtype
                for part, first in FIRST_TYPES.items()
                for name, dtype in first.items()
            ):
                self._restore_first(path)
            else:
                self._checkpoint.restore(path).assert_consumed()
            return int(self.model.optimizer.iterations.numpy())

        return newest_readable(Path(self._manager.directory), load)

    def _restore_first(self, path: str) -> None:
        """Loads a checkpoint whose state has the types of the first versions."""
        parts, read = dict(self._parts, optimizer=self.model.optimizer), []
        for name, types in FIRST_TYPES.items():
            if name not in parts:
                continue
            part = parts[name]
            there = {x: getattr(part, x) for x in STATE[name] if hasattr(part, x)}
            for x, dtype in types.items():
                now = there[x]
                there[x] = tf.Variable(tf.zeros(now.shape, dtype), trainable=False)
                read.append((now, there[x]))
            parts[name] = tf.train.Checkpoint(**there)
        tf.train.Checkpoint(**parts).restore(path).assert_existing_objects_matched()
        for now, before in read:
            now.assign(tf.cast(before, now.dtype))
