"""Checkpoints: what a run needs on disk to resume."""

from __future__ import annotations

import shutil
from pathlib import Path

import tensorflow as tf

from vie_tf.errors import InputError, reason
from vie_tf.keras2 import keras
from vie_tf.runs.trained import newest_readable

# State by its place in a checkpoint, and the part of it that earlier versions kept in other types,
# whose single elements GPUs cannot read or write.
STATE = {
    "bank": ("rows", "parts", "labels", "visited"),
    "clusters": ("labels", "next_labels"),
    "plateau": ("best", "waited", "drops"),
}
TYPED = {
    "bank": ("labels", "visited"),
    "clusters": ("labels", "next_labels"),
    "plateau": ("waited", "drops"),
}


class Checkpoints:
    """The last checkpoints of a run: network, optimizer with its step, memory bank, clusters.

    The step is also the position in the data, since the order of the clips is a function of it. A
    checkpoint is written under another name and renamed when it is complete, and the list of
    checkpoints changes only after that, so being killed or a full disk leaves the last one good.

    Args:
        folder: where they are kept.
        model: compiled, with the `network` that learns, `plateau` (or None) and `state`, by name.
        keep: how many to keep.
    """

    def __init__(self, folder: Path, model: keras.Model, keep: int):
        model.optimizer.build(model.network.trainable_weights)
        self.model = model
        self._remove_parts(Path(folder))  # of a save that was killed
        self._parts = {"network": model.network, **model.state}
        if model.plateau:
            self._parts["plateau"] = model.plateau
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
        """Loads the newest checkpoint; returns the steps it has taken, or None if there is none.

        Raises:
            InputError: as for `newest_readable`.
        """

        def load(path: str) -> int:
            types = self._earlier_types(path)
            if types:
                self._restore_earlier(path, types)
            else:
                self._checkpoint.restore(path).assert_consumed()
            return int(self.model.optimizer.iterations.numpy())

        return newest_readable(Path(self._manager.directory), load)

    def _earlier_types(self, path: str) -> dict[str, dict[str, tf.DType]]:
        """Returns, by part and name, the types of a checkpoint's state that differ from today's."""
        saved = tf.train.load_checkpoint(path).get_variable_to_dtype_map()
        found: dict[str, dict[str, tf.DType]] = {}
        for part in TYPED.keys() & self._parts:
            for name in TYPED[part]:
                dtype = saved.get(f"{part}/{name}/.ATTRIBUTES/VARIABLE_VALUE")
                if dtype not in (None, getattr(self._parts[part], name).dtype):
                    found.setdefault(part, {})[name] = dtype
        return found

    def _restore_earlier(self, path: str, types: dict[str, dict[str, tf.DType]]) -> None:
        """Loads a checkpoint in which some of the state has other types than today's."""
        parts, read = dict(self._parts, optimizer=self.model.optimizer), []
        for part, names in types.items():
            state = {x: getattr(parts[part], x) for x in STATE[part] if hasattr(parts[part], x)}
            for name, dtype in names.items():
                now = state[name]
                state[name] = tf.Variable(tf.zeros(now.shape, dtype), trainable=False)
                read.append((now, state[name]))
            parts[part] = tf.train.Checkpoint(**state)
        tf.train.Checkpoint(**parts).restore(path).assert_existing_objects_matched()
        for now, before in read:
            now.assign(tf.cast(before, now.dtype))
