"""What the training steps of all models share."""

from __future__ import annotations

import time
from typing import Callable

import tensorflow as tf
from tensorflow import keras

from vie_tf import device
from vie_tf.objectives.replicas import replica_number


class Forward:
    """What a model's training step computes of the pixels, compiled as its `jit_compile` says.

    So is its gradient, which ends before the pixels: theirs would take a GPU as long as half of all
    others. None, Keras' default, compiles on GPUs alone; that is done once for each replica, which
    has its own copies of the variables, however often a step is traced.

    Args:
        model: compiled when this is called.
        call: of float32 [B, T, H, W, 3]. Let it call the network, not the model, which under a
            mixed policy would round the pixels first.
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
    """Changes the weights of the model's `network`; returns the rate that was taken, float32 [].

    Args:
        model: compiled.
        tape: which saw the loss being computed.
        loss: float32 [], the mean over a replica's items; the gradients of all replicas are summed.
    """
    weights = model.network.trainable_weights
    share = tf.constant(1 / tf.distribute.get_replica_context().num_replicas_in_sync)
    gradients = tape.gradient(loss, weights, output_gradients=share)
    rate = tf.convert_to_tensor(model.optimizer.learning_rate)
    model.optimizer.apply_gradients(list(zip(gradients, weights)))
    return rate


def clips_of(data) -> tf.Tensor:
    """The clips of what `predict` is given, batches with `clip` or clips alone, as float32."""
    batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    return tf.cast(batch["clip"] if isinstance(batch, dict) else batch, tf.float32)


def _of_any_size(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    any_size = tf.compat.v1.placeholder_with_default
    return {name: any_size(x, [None, *x.shape[1:]]) for name, x in batch.items()}


def timed_train_function(model: keras.Model) -> Callable:
    """For a model's `train_function`: as Keras', but of each batch alone, and timed.

    Its logs are the batch's own values, not means of the epoch so far. The wait for each batch is
    timed, which tells a starved accelerator.

    Args:
        model: with a `take_step`; `seconds_waiting` and `left_out`, which are added to.
    """
    strategy = model.distribute_strategy

    @tf.function
    def step(batch):
        parts = strategy.experimental_local_results(batch["index"])
        if len({part.shape[0] for part in parts}) > 1:  # shared unevenly: of no known size
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
    """Not saved: it is of one epoch, and Keras 2.15 cannot load it on several replicas."""

    def save_own_variables(self, store) -> None:
        pass

    def load_own_variables(self, store) -> None:
        pass


class Means:
    """Means of what the steps of an epoch find, for a model's `metrics`.

    As attributes of the model they would be among its weights.

    Args:
        names: of all that there may be.
    """

    def __init__(self, *names: str):
        self.metrics = [_Mean(name) for name in names]

    def after(
        self, values: dict[str, tf.Tensor], weight: tf.Tensor | int | None = None
    ) -> dict[str, tf.Tensor]:
        """Adds a batch's values; returns the means since Keras has last reset them.

        Args:
            values: float32 [B] or [], by name; those of other names are left out.
            weight: of the batch, where its values are [].
        """
        known = [metric for metric in self.metrics if metric.name in values]
        for metric in known:
            metric.update_state(values[metric.name], weight)
        return {metric.name: metric.result() for metric in known}
