"""The learning rate schedule: warm-up, drops at given steps, and drops on a plateau."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from vie_tf.keras2 import keras

MOST_DROPS = 2  # of the learning rate on plateaus


@keras.utils.register_keras_serializable("vie_tf")
class PiecewiseRate(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up from 0, then `rate`, times 0.1 after each boundary.

    Args:
        rate: learning rate after the warm-up.
        boundaries: steps; each drop takes effect one step later (as in the authors' code).
        warmup_steps: length of the ramp; 0 starts at `rate`.
        plateau: drops the rate further.
        first_boundaries: boundaries in a first phase of `first_steps` steps, after which the rate
            is back at `rate`.
    """

    def __init__(
        self,
        rate: float,
        boundaries: list[int] = (),
        warmup_steps: int = 0,
        plateau: Plateau | None = None,
        first_boundaries: list[int] = (),
        first_steps: int = 0,
    ):
        self.rate, self.boundaries = rate, [int(b) for b in boundaries]
        self.warmup_steps, self.plateau = warmup_steps, plateau
        self.first_boundaries, self.first_steps = [int(b) for b in first_boundaries], first_steps

    def __call__(self, step) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        done = tf.minimum(1.0, step / self.warmup_steps) if self.warmup_steps else 1.0
        drops = sum(tf.cast(step > b, tf.float32) for b in self.boundaries)
        first = tf.cast(step < self.first_steps, tf.float32)
        drops += sum(first * tf.cast(step > b, tf.float32) for b in self.first_boundaries)
        if self.plateau:
            drops += tf.cast(self.plateau.drops, tf.float32)
        return done * self.rate * 0.1**drops

    def get_config(self) -> dict:
        return {
            "rate": self.rate,
            "boundaries": self.boundaries,
            "warmup_steps": self.warmup_steps,
            "first_boundaries": self.first_boundaries,
            "first_steps": self.first_steps,
            "plateau": self.plateau.get_config() if self.plateau else None,
        }

    @classmethod
    def from_config(cls, config: dict) -> PiecewiseRate:
        told = config.get("plateau")
        return cls(**{**config, "plateau": Plateau(**told) if told else None})


class Plateau(tf.Module):
    """Counts drops of the learning rate, each called for when a metric has stopped growing.

    Args:
        patience: number of successive values without a new best that cause a drop, up to
            `MOST_DROPS` in total.
        best: the largest value so far.
        waited: number of values since.
        drops: so far.

    Attributes:
        best, waited, drops: variables, float32 and twice int64; a checkpoint has them.
    """

    def __init__(self, patience: int, best: float = float("-inf"), waited: int = 0, drops: int = 0):
        super().__init__(name="plateau")
        self.patience = patience
        self.best = tf.Variable(best, trainable=False)
        self.waited = tf.Variable(waited, trainable=False, dtype=tf.int64)
        self.drops = tf.Variable(drops, trainable=False, dtype=tf.int64)

    def get_config(self) -> dict:
        """Returns the whole state, as plain numbers."""
        state = {name: getattr(self, name).numpy().item() for name in ("best", "waited", "drops")}
        return {"patience": self.patience, **state}

    def see(self, value: float) -> None:
        """Takes the metric's next value."""
        value = np.float32(value)  # like `best`: else a value may exceed its own rounding
        if value > self.best.numpy():
            self.best.assign(value)
            self.waited.assign(0)
            return
        self.waited.assign_add(1)
        if self.waited.numpy() >= self.patience and self.drops.numpy() < MOST_DROPS:
            self.drops.assign_add(1)
            self.waited.assign(0)
