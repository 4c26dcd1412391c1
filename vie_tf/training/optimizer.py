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
    """Whether the L2 penalty is on a weight: on all but those of batch normalisation."""
    return variable.name.split("/")[-1].split(":")[0] not in ("gamma", "beta")


@keras.utils.register_keras_serializable("vie_tf")
class Momentum(keras.optimizers.Optimizer):
    """Momentum SGD with an L2 penalty l2 * |v|^2 / 2 that passes through the momentum.

    accumulator = momentum * accumulator + gradient + l2 * variable; variable -= rate * accumulator.

    `keras.optimizers.SGD` keeps rate * gradient in its accumulator instead, so that after a drop
    of the rate it goes on with steps of the old size for a while; the paper's runs did not. The
    update is two fused kernels a variable, without a temporary copy of it; on a GPU those of all
    variables are compiled together. Each replica changes its own copies, alike.

    `_learning_rate`, `_built` and `_index_dict` are what the base class reads and writes, and what
    Keras 2.15's own optimizers are written with; it has no public names for them. Its options for
    clipping, weight decay and averages have no effect.

    Args:
        learning_rate: a number or a schedule.
        momentum: above 0.
        l2: weight of the penalty, on every weight for which `decays` is true.
        l2_layer: name of a layer whose weights alone have the penalty; '' for all.
        jit_compile: the update; None is on GPUs.
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
        """The accumulator of a variable that the optimizer was built for."""
        return self.accumulators[self._index_dict[self._var_key(variable)]]

    def penalises(self, variable: tf.Variable) -> bool:
        """Whether the L2 penalty is on a weight."""
        return decays(variable) and (not self.l2_layer or f"{self.l2_layer}/" in variable.name)

    def apply_gradients(
        self, grads_and_vars, name=None, skip_gradients_aggregation=False, **kwargs
    ):
        # Of one replica there is nothing to sum; TensorFlow would keep the step's graph for good.
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
        """That of the step that comes, float32 []."""
        rate = self._learning_rate
        return rate(self.iterations) if callable(rate) else rate

    @learning_rate.setter
    def learning_rate(self, rate):
        keras.optimizers.Optimizer.learning_rate.fset(self, rate)

    def _update(self, gradient: tf.Tensor, variable: tf.Variable, rate: tf.Tensor) -> None:
        accumulator = self.accumulator(variable)
        if self.l2 and self.penalises(variable):
            # Before the momentum multiplies it, hence divided by it.
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
        boundaries: steps; the drop acts from the step after each (as in the authors' code).
        warmup_steps: length of the ramp; 0 starts at `rate`.
        plateau: which drops it further.
        first_boundaries: steps of a first phase of `first_steps` steps, after which the rate is
            whole again.
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
    """Counts the drops of the learning rate that a measure calls for which has ceased to grow.

    Args:
        patience: values in turn none of which is above the best before; then there is a drop,
            up to `MOST_DROPS` in all.
        best: the largest value so far.
        waited: values since.
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
        """All of it, as plain numbers."""
        state = {name: getattr(self, name).numpy().item() for name in ("best", "waited", "drops")}
        return {"patience": self.patience, **state}

    def see(self, value: float) -> None:
        """Takes notice of the measure's next value."""
        value = np.float32(value)  # as `best`: else a value may exceed its own rounding
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
    """Compiles a model with the optimizer of a schedule, and gives it its `plateau`.

    Args:
        model: what learns.
        settings: of the schedule.
        l2_layer: as `Momentum`.
        first_steps: of a first phase, after which the rate begins anew.
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
