"""What a run needs to go on, on disk."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from vie_tf.errors import InputError
from vie_tf.training.vie import VIE


class Checkpoints:
    """The last checkpoints of a run: network, optimizer with its step, and memory bank.

    The step is the place in the data too, since the order of the clips is a function of it. A
    checkpoint is written under another name and renamed when it is whole, and the list of
    checkpoints changes only after that, so being killed or a full disk leaves the last one good.

    Args:
        folder: where they lie.
        model: compiled.
        keep: how many to keep.
    """

    def __init__(self, folder: Path, model: VIE, keep: int = 3):
        model.optimizer.build(model.network.trainable_weights)
        self.model = model
        checkpoint = tf.train.Checkpoint(
            network=model.network, optimizer=model.optimizer, bank=model.bank
        )
        self._manager = tf.train.CheckpointManager(checkpoint, str(folder), keep)

    def save(self) -> None:
        """Writes a checkpoint of the current step.

        Raises:
            InputError: it cannot be written; earlier ones are untouched.
        """
        step = int(self.model.optimizer.iterations)
        try:
            self._manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            reason = str(getattr(error, "message", error)).splitlines()[0]
            raise InputError(
                f"cannot save step {step} in {self._manager.directory}: {reason}; make room, then "
                "the same command goes on from the last checkpoint"
            ) from error

    def restore(self) -> int:
        """Loads the newest checkpoint if there is one; returns the number of steps it has taken."""
        newest = self._manager.latest_checkpoint
        if newest is None:
            return 0
        try:
            self._manager.checkpoint.restore(newest).assert_consumed()
        except (tf.errors.OpError, AssertionError, ValueError) as error:
            raise InputError(
                f"{newest} does not fit this network: it was made by another version, or is "
                "damaged; use another --workdir"
            ) from error
        return int(self.model.optimizer.iterations)


def restore_network(folder: Path, network: tf.keras.Model) -> int:
    """Loads only the network's weights of a run; returns the step.

    Raises:
        InputError: the folder holds no checkpoint.
    """
    newest = tf.train.latest_checkpoint(str(folder))
    if newest is None:
        raise InputError(f"{folder} holds no checkpoint; run --mode=pretrain with its --workdir")
    wanted = tf.train.Checkpoint(network=network)
    wanted.restore(newest).expect_partial().assert_existing_objects_matched()
    return int(tf.train.load_variable(newest, "optimizer/_iterations/.ATTRIBUTES/VARIABLE_VALUE"))
