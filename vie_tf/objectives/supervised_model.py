"""A network that learns to predict labels: those of the videos, or those of a pretext task."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from vie_tf.data.augmentation import PAPER_COLOUR_NOISE, ColourNoise, colour_noise
from vie_tf.keras2 import keras
from vie_tf.objectives.pretext import PRETEXTS, Pretext
from vie_tf.objectives.replicas import items
from vie_tf.training.step import Forward, Means, clips_of, learn


@keras.utils.register_keras_serializable("vie_tf")
class Supervised(keras.Model):
    """Trains a network with softmax cross-entropy, on the clips and with the steps of `VIE`.

    `fit` takes batches as `VIE` does. `evaluate` takes batches with `clip` and `label`, and returns
    loss, accuracy and the `metrics` given to `compile`, on unaltered clips. `predict` takes the
    same or clips alone, and returns logits.

    Args:
        network: from `vie_tf.models.families.build` with `num_classes`.
        colour: what `colour_noise` does to the clips.
        pretext: the task; None if the labels are those of the videos.
    """

    def __init__(
        self,
        network: keras.Model,
        colour: ColourNoise = PAPER_COLOUR_NOISE,
        pretext: Pretext | None = None,
    ):
        super().__init__(name="supervised")
        self.network, self.colour, self.pretext = network, colour, pretext
        self.forward = Forward(self, self.answers)
        self.plateau, self.state = None, {}  # for checkpoints, as in `VIE`
        self.seconds_waiting = 0.0  # for data, in total
        self.left_out: list[tf.Tensor] = []  # rows of unreadable videos, -1 for readable ones
        self.means = Means("loss", "accuracy")
        self.built = True  # as the network is

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, *self.means.metrics]

    def call(self, clip: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        return self.network(clip, training=training)

    def answers(self, clip: tf.Tensor, training: bool = True) -> tf.Tensor:
        """Returns the logits: [B, classes], for a pretext task [B, M, classes]."""
        if self.pretext:
            return self.pretext.answers(self.network, clip, training)
        return self.network(clip, training=training)["logits"]

    def wanted(self, batch: dict[str, tf.Tensor], logits: tf.Tensor) -> tf.Tensor:
        """Returns the right answers, int64 of the logits' shape without the class axis."""
        if not self.pretext:
            return batch["label"]
        labels = tf.constant(self.pretext.labels, tf.int64)
        return tf.broadcast_to(labels, tf.shape(logits)[:-1])

    def take_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Learns from a replica's batch; returns loss, accuracy and learning rate, float32 []."""
        clip = colour_noise(batch["clip"], batch["seed"], self.colour)
        with tf.GradientTape() as tape:
            logits = self.forward(clip)
            labels = self.wanted(batch, logits)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        rate = learn(self, tape, loss)
        right = keras.metrics.sparse_categorical_accuracy(labels, logits)
        logs = {"loss": loss, "accuracy": tf.reduce_mean(right)}
        return {**logs, "learning_rate": rate}

    def train_step(self, data) -> dict[str, tf.Tensor]:
        batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.means.after(self.take_step(batch), items(batch["clip"]))

    def test_step(self, data) -> dict[str, tf.Tensor]:
        batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        logits = self.predict_step(batch)
        labels = self.wanted(batch, logits)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        right = keras.metrics.sparse_categorical_accuracy(labels, logits)
        self.means.after({"loss": losses, "accuracy": right})
        return self.compute_metrics(batch, labels, logits, None)

    def predict_step(self, data) -> tf.Tensor:
        return self.answers(clips_of(data), training=False)

    def get_config(self) -> dict:
        # A task holds functions, which cannot be saved; the name is enough for those in PRETEXTS.
        tasks = [name for name, task in PRETEXTS.items() if task is self.pretext]
        if self.pretext and not tasks:
            raise ValueError("a pretext task of your own cannot be saved: save `network` instead")
        return {
            "network": keras.saving.serialize_keras_object(self.network),
            "colour": dataclasses.asdict(self.colour),
            "pretext": tasks[0] if tasks else None,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects=None) -> Supervised:
        network = keras.saving.deserialize_keras_object(config["network"], custom_objects)
        return cls(network, ColourNoise(**config["colour"]), PRETEXTS.get(config["pretext"]))
