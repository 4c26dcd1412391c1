"""Momentum SGD as in the paper's runs, and its learning rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow import keras

from vie_tf import device
from vie_tf.settings import Settings

MOST_DROPS = 2  # of the learning rate on plateaus


def decays(variable: tf.Variable) -> bool:
    """Returns whether the L2 penalty applies to a weight: to all but batch normalisation's."""
    return variable.name.split("/")[-1].split(":")[0] not in ("gamma", "beta")


@keras.utils.register_keras_serializable("vie_tf")
class Momentum(keras.optimizers.Optimizer):
    """Momentum SGD with an L2 penalty l2 * |v|^2 / 2 that passes through the momentum.

    accumulator = momentum * accumulator + gradient + l2 * variable; variable -= rate * accumulator.

    `keras.optimizers.SGD` keeps rate * gradient in its accumulator instead, so that after a drop
    of the rate it keeps taking steps of the old size for a while; the paper's runs did not. The
    update is two fused kernels per variable, without a temporary copy of it; on a GPU those of all
    variables are compiled together. Each replica updates its own copies identically.

    The base class and Keras 2.15's own optimizers use `_learning_rate`, `_built` and `_index_dict`;
    there are no public names for them. The base class's options for clipping, weight decay and
    averages have no effect.

    Args:
        learning_rate: a number or a schedule.
        momentum: above 0.
        l2: weight of the penalty, on every weight for which `decays` is true.
        l2_layer: name of the only layer whose weights have the penalty; '' for all.
        jit_compile: whether the update is compiled; None: on GPUs.
    """

    def __init__(
        self,
        learning_rate=0.03,
        momentum: float = 0.9,
        l2: float = 0.0,
        l2_layer: str = "",
        jit_compile: bool | None = None,
        name: str = "Momentum",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self._learning_rate = self._build_learning_rate(learning_rate)
        self.momentum, self.l2, self.l2_layer = momentum, l2, l2_layer
        self.jit_compile = jit_compile

    def build(self, var_list):
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        self._built = True
        self.accumulators = [self.add_variable_from_reference(v, "accumulator") for v in var_list]

    def accumulator(self, variable: tf.Variable) -> tf.Variable:
        """Returns the accumulator of a variable that the optimizer was built for."""
        return self.accumulators[self._index_dict[self._var_key(variable)]]

    def penalises(self, variable: tf.Variable) -> bool:
        """Returns whether the L2 penalty applies to a weight."""
        return decays(variable) and (not self.l2_layer or f"{self.l2_layer}/" in variable.name)

    def apply_gradients(
        self, grads_and_vars, name=None, skip_gradients_aggregation=False, **kwargs
    ):
        # One replica has nothing to sum, and TensorFlow would keep the step's graph forever.
        if not skip_gradients_aggregation and tf.distribute.get_strategy().num_replicas_in_sync > 1:
            grads_and_vars = self.aggregate_gradients(grads_and_vars)
        gradients, variables = zip(*((g, v) for g, v in grads_and_vars if g is not None))
        with tf.init_scope():
            self.build(variables)

        def update(rate, *gradients):
            for gradient, variable in zip(gradients, variables):
                self._update(gradient, variable, rate)

        device.compiled(update, self.jit_compile)(
            tf.convert_to_tensor(self.learning_rate), *gradients
        )
        self.iterations.assign_add(1)

    @property
    def learning_rate(self):
        """The learning rate of the next step, float32 []."""
        rate = self._learning_rate
        return rate(self.iterations) if callable(rate) else rate

    @learning_rate.setter
    def learning_rate(self, rate):
        keras.optimizers.Optimizer.learning_rate.fset(self, rate)

    def _update(self, gradient: tf.Tensor, variable: tf.Variable, rate: tf.Tensor) -> None:
        accumulator = self.accumulator(variable)
        if self.l2 and self.penalises(variable):
            # Added before the momentum multiplies it, hence divided by it.
            tf.raw_ops.ResourceApplyGradientDescent(
                var=accumulator.handle,
                alpha=tf.constant(-self.l2 / self.momentum, variable.dtype),
                delta=variable,
            )
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle,
            accum=accumulator.handle,
            lr=rate,
            grad=gradient,
            momentum=tf.cast(self.momentum, variable.dtype),
        )

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "learning_rate": self._serialize_hyperparameter(self._learning_rate),
            "momentum": self.momentum,
            "l2": self.l2,
            "l2_layer": self.l2_layer,
        }


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
        drops: int64, so far; with `best` and `waited` it is part of a checkpoint.
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


def compile_model(
    model: keras.Model,
    settings: Settings,
    l2_layer: str = "",
    first_steps: int = 0,
    first_boundaries: Sequence[int] = (),
) -> None:
    """Compiles a model with the optimizer of a schedule, and sets its `plateau`.

    Args:
        model: the model to train.
        settings: of the schedule.
        l2_layer: as in `Momentum`.
        first_steps: length of a first phase, after which the schedule starts again.
        first_boundaries: where the rate drops in that phase.
    """
    schedule, xla = settings.schedule, settings.network.xla
    plateau = Plateau(schedule.lr_plateau) if schedule.lr_plateau else None
    rate = PiecewiseRate(
        schedule.learning_rate,
        [first_steps + step for step in schedule.lr_boundaries],
        schedule.warmup_steps,
        plateau=plateau,
        first_boundaries=list(first_boundaries),
        first_steps=first_steps,
    )
    optimizer = Momentum(rate, l2=schedule.weight_decay, l2_layer=l2_layer, jit_compile=xla)
    model.compile(optimizer, jit_compile=xla)
    model.plateau = plateau
