"""Video Instance Embedding as a Keras model: `compile`, then `fit`."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras

from vie_tf.data import draws
from vie_tf.data.augmentation import PAPER_COLOUR_NOISE, ColourNoise, colour_noise
from vie_tf.objectives import instance_recognition, local_aggregation
from vie_tf.objectives.clustering import Clusters
from vie_tf.objectives.memory_bank import MemoryBank
from vie_tf.objectives.replicas import items, own_part
from vie_tf.training.step import Forward, learn, timed_train_function


class VIE(keras.Model):
    """Trains a network by Instance Recognition, then Local Aggregation, against a memory bank.

    A step: forward, loss and gradient against the bank as it was, optimizer, then the bank
    (paper section 3). Under a strategy batch normalisation uses each replica's own statistics,
    every copy of the bank is the same, and the loss is the mean of the replicas' means: give
    batches that the replicas share evenly. `compile` takes the optimizer and `jit_compile`, for
    the network and its gradient (default: on GPUs); `run_eagerly` and `steps_per_execution` have no
    effect.

    Args:
        network: from `vie_tf.models.families.build`.
        bank: one row for each training video.
        noise_samples: K of the NCE estimate; 0 computes the softmax over the whole bank.
        temperature: tau of eq. 2.
        colour: what `colour_noise` does to the clips.
        seed: of the noise samples.
        clusters: of the bank's videos; None where there is to be no Local Aggregation.
        neighbours: K of Local Aggregation's background neighbours.

    Attributes:
        aggregates: whether a step is one of Local Aggregation, see `aggregate`.
    """

    def __init__(
        self,
        network: keras.Model,
        bank: MemoryBank,
        noise_samples: int = 4096,
        temperature: float = 0.07,
        colour: ColourNoise = PAPER_COLOUR_NOISE,
        seed: int = 0,
        clusters: Clusters | None = None,
        neighbours: int = 512,
    ):
        super().__init__(name="vie")
        self.network, self.bank = network, bank
        self.noise_samples, self.temperature = noise_samples, temperature
        self.colour, self.seed = colour, seed
        self.clusters, self.neighbours = clusters, neighbours
        self.aggregates = False
        self.forward = Forward(self, self.embed)
        self.plateau = None  # that drops the learning rate, see `training.optimizer.Plateau`
        self.seconds_waiting = 0.0  # for data, in all
        self.left_out: list[tf.Tensor] = []  # rows of videos, -1 for those that could be read

    @property
    def state(self) -> dict[str, keras.layers.Layer]:
        """What a checkpoint holds beside network and optimizer."""
        parts = {"bank": self.bank, "clusters": self.clusters}
        return {name: part for name, part in parts.items() if part is not None}

    def call(self, clip: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        return self.network(clip, training=training)

    def embed(self, clip: tf.Tensor) -> tf.Tensor:
        """The embeddings in training, float32 [B, D]."""
        return self.network(clip, training=True)["embedding"]

    def objective(self, embeddings: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """The loss of each item, float32 [B] under `loss`, from the bank as it is."""
        if self.aggregates:
            return self.aggregation(embeddings, index)
        if not self.noise_samples:
            rows = tf.cast(self.bank.rows, embeddings.dtype)
            similarities = tf.matmul(embeddings, rows, transpose_b=True)
            return {
                "loss": instance_recognition.softmax_loss(similarities, index, self.temperature)
            }
        own = self.bank.similarities(embeddings, index[:, None])[:, 0]
        others = self.bank.similarities(embeddings, self.noise(items(index)))
        return instance_recognition.nce_loss(own, others, self.bank.size, self.temperature)

    def aggregate(self) -> None:
        """Makes all further steps those of Local Aggregation; fill `clusters` first."""
        self.aggregates, self.train_function = True, None

    def aggregation(self, embeddings: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """Local Aggregation's `loss`, and of the background neighbours the share that is `close`.

        And `alone`: 1 where none is close, so that the item teaches nothing.
        """
        k = min(self.neighbours, self.bank.size)
        nearest, neighbours = self.bank.nearest(embeddings, k)
        found = tf.math.is_finite(nearest)
        close = found & self.clusters.close(index, neighbours)
        similarities = self.bank.similarities(embeddings, neighbours)
        similarities = tf.where(found, similarities, float("-inf"))
        share = tf.reduce_sum(tf.cast(close, tf.float32), axis=1)
        share = tf.math.divide_no_nan(share, tf.reduce_sum(tf.cast(found, tf.float32), axis=1))
        loss = local_aggregation.aggregation_loss(similarities, close, self.temperature)
        return {
            # An embedding that is not a number has no neighbours, but its loss must tell.
            "loss": loss + 0.0 * tf.reduce_sum(embeddings, axis=1),
            "close": share,
            "alone": tf.cast(share == 0, tf.float32),
        }

    def noise(self, batch: tf.Tensor | int) -> tf.Tensor:
        """Rows drawn for this step and this replica's part of the batch, int64 [batch, K].

        Drawn for the global batch and cut, so that it does not depend on how many replicas share
        the batch.
        """
        everybody, first = own_part(batch)
        seeds = tf.stack([tf.constant(self.seed, tf.int64), self.optimizer.iterations])[None]
        rows = draws.integers(seeds, everybody * self.noise_samples, self.bank.size)
        rows = tf.reshape(rows, (-1, self.noise_samples))
        return rows[first : first + batch]

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        clip = colour_noise(batch["clip"], batch["seed"], self.colour)
        with tf.GradientTape() as tape:
            embeddings = self.forward(clip)
            losses = self.objective(embeddings, batch["index"])
            loss = tf.reduce_mean(losses["loss"])
        rate = learn(self, tape, loss)
        self.bank.update(batch["index"], embeddings, batch["label"])
        logs = {name: tf.reduce_mean(value) for name, value in losses.items()}
        return {**logs, "learning_rate": rate}

    def make_train_function(self, force: bool = False):
        return timed_train_function(self, force)
