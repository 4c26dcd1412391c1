"""A network that learns to name labels: those of the videos, or those of a pretext task."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras

from vie_tf.data.augmentation import PAPER_COLOUR_NOISE, ColourNoise, colour_noise
from vie_tf.objectives.pretext import Pretext
from vie_tf.training.step import Forward, learn, timed_train_function


class Supervised(keras.Model):
    """Trains a network with softmax cross-entropy, on the clips and with the steps of `VIE`.

    Args:
        network: from `vie_tf.models.families.build` with `num_classes`.
        colour: what `colour_noise` does to the clips.
        pretext: the task; None where the labels are those of the videos.
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
        self.plateau, self.state = None, {}  # of a checkpoint, as `VIE`
        self.seconds_waiting = 0.0  # for data, in all
        self.left_out: list[tf.Tensor] = []  # rows of videos, -1 for those that could be read

    def call(self, clip: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        return self.network(clip, training=training)

    def answers(self, clip: tf.Tensor) -> tf.Tensor:
        """The logits in training: [B, classes], of a pretext task [B, M, classes]."""
        if self.pretext:
            return self.pretext.answers(self.network, clip, training=True)
        return self.network(clip, training=True)["logits"]

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        clip = colour_noise(batch["clip"], batch["seed"], self.colour)
        with tf.GradientTape() as tape:
            logits, labels = self.forward(clip), batch["label"]
            if self.pretext:
                labels = tf.constant(self.pretext.labels, tf.int64)
                labels = tf.broadcast_to(labels, tf.shape(logits)[:-1])
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        rate = learn(self, tape, loss)
        right = keras.metrics.sparse_categorical_accuracy(labels, logits)
        logs = {"loss": loss, "accuracy": tf.reduce_mean(right)}
        return {**logs, "learning_rate": rate}

    def make_train_function(self, force: bool = False):
        return timed_train_function(self, force)
