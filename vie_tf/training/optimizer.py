"""Momentum SGD as in the paper's runs."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from vie_tf import device
from vie_tf.keras2 import keras
from vie_tf.settings import Settings
from vie_tf.training.learning_rate import PiecewiseRate, Plateau


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
