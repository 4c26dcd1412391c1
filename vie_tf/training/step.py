"""What the training steps of all models share."""

from __future__ import annotations

import time
from typing import Callable

import tensorflow as tf

from vie_tf import device
from vie_tf.keras2 import keras
from vie_tf.objectives.replicas import replica_number


class Forward:
    """The forward pass of a model's training step, compiled as its `jit_compile` says.

    So is the gradient, which stops before the pixels: theirs would take a GPU half as long as all
    the others. None, Keras' default, compiles on GPUs only; that is done once for each replica,
    which has its own copies of the variables, however often a step is traced.

    Args:
        model: must be compiled before this is called.
        call: takes float32 [B, T, H, W, 3]. It should call the network, not the model, which would
            round the pixels first under a mixed policy.
    """

    def __init__(self, model: keras.Model, call: Callable):
        self.model, self.call = model, call
        self.made: dict[tuple, Callable] = {}

    def __call__(self, pixels: tf.Tensor):
        key = replica_number(), self.model.jit_compile
        if key not in self.made:
            self.made[key] = device.compiled(self._of_pixels, self.model.jit_compile)
        return self.made[key](pixels)

    def _of_pixels(self, pixels: tf.Tensor):
        return self.call(tf.stop_gradient(pixels))


def learn(model: keras.Model, tape: tf.GradientTape, loss: tf.Tensor) -> tf.Tensor:
    """Updates the weights of the model's `network`; returns the learning rate used, float32 [].

    Args:
        model: compiled.
        tape: recorded the loss.
        loss: float32 [], the mean over a replica's items; the gradients of all replicas are summed.
    """
    weights = model.network.trainable_weights
    share = tf.constant(1 / tf.distribute.get_replica_context().num_replicas_in_sync)
    gradients = tape.gradient(loss, weights, output_gradients=share)
    rate = tf.convert_to_tensor(model.optimizer.learning_rate)
    model.optimizer.apply_gradients(list(zip(gradients, weights)))
    return rate


def clips_of(data) -> tf.Tensor:
    """Returns the clips that `predict` is given, in dicts with `clip` or alone, as float32."""
    batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    return tf.cast(batch["clip"] if isinstance(batch, dict) else batch, tf.float32)


def _of_any_size(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    any_size = tf.compat.v1.placeholder_with_default
    return {name: any_size(x, [None, *x.shape[1:]]) for name, x in batch.items()}


def timed_train_function(model: keras.Model) -> Callable:
    """Returns a `train_function` for a model, like Keras' own but timed.

    Its logs are the batch's own values, not means of the epoch so far. The wait for each batch is
    timed, which reveals a starved accelerator.

    Args:
        model: has `take_step`, and `seconds_waiting` and `left_out`, which are added to.
    """
    strategy = model.distribute_strategy

    @tf.function
    def step(batch):
        parts = strategy.experimental_local_results(batch["index"])
        if len({part.shape[0] for part in parts}) > 1:  # uneven shares: batch size unknown
            batch = strategy.run(_of_any_size, (batch,))
        logs = strategy.run(model.take_step, (batch,))
        return {k: strategy.reduce("MEAN", v, axis=None) for k, v in logs.items()}

    def train_function(iterator):
        start = time.perf_counter()
        batch = next(iterator)
        model.seconds_waiting += time.perf_counter() - start
        if "unreadable" in batch:
            model.left_out += strategy.experimental_local_results(batch["unreadable"])
        return step(batch)

    return train_function


class _Mean(keras.metrics.Mean):
    """Not saved: it covers one epoch, and Keras 2.15 cannot load it on several replicas."""

    def save_own_variables(self, store) -> None:
        pass

    def load_own_variables(self, store) -> None:
        pass


class Means:
    """Means over the steps of an epoch, for a model's `metrics`.

    As attributes of the model they would be among its weights.

    Args:
        names: of all values that there may be.
    """

    def __init__(self, *names: str):
        self.metrics = [_Mean(name) for name in names]

    def after(
        self, values: dict[str, tf.Tensor], weight: tf.Tensor | int | None = None
    ) -> dict[str, tf.Tensor]:
        """Adds a batch's values; returns the means since Keras last reset them.

        Args:
            values: float32 [B] or [], by name; those of other names are ignored.
            weight: of the batch, if its values are [].
        """
        known = [metric for metric in self.metrics if metric.name in values]
        for metric in known:
            metric.update_state(values[metric.name], weight)
        return {metric.name: metric.result() for metric in known}
