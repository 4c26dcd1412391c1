"""Video Instance Embedding as a Keras model: `compile`, then `fit`."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from vie_tf.data import draws
from vie_tf.data.augmentation import PAPER_COLOUR_NOISE, ColourNoise, colour_noise
from vie_tf.keras2 import keras
from vie_tf.objectives import instance_recognition, local_aggregation
from vie_tf.objectives.clustering import Clusters
from vie_tf.objectives.memory_bank import MemoryBank
from vie_tf.objectives.replicas import items, own_part
from vie_tf.training.step import Forward, Means, clips_of, learn


@keras.utils.register_keras_serializable("vie_tf")
class VIE(keras.Model):
    """Trains a network by Instance Recognition, then Local Aggregation, against a memory bank.

    A step computes loss and gradient against the bank as it was, updates the weights, then the bank
    (paper section 3). Under a strategy, batch normalisation uses each replica's own statistics, all
    copies of the bank are equal, and the loss is the mean of the replicas' means: give batches that
    the replicas share evenly.

    `fit` takes batches like those of `vie_tf.data.pipeline`: dicts of `clip` uint8 [B, T, H, W, 3],
    `index` int64 [B] (the row of the bank), `label` int64 [B] (-1 where unknown) and `seed` int32
    [B, 2] (of the colour noise). `evaluate` takes batches with `clip` and `index`, and returns the
    loss of unaltered clips against the current bank, and the `metrics` given to `compile`, for a
    classifier whose classes are the rows of the bank, so that `accuracy` is the recall at 1. They
    are not measured in training. `predict` takes the same or clips alone, and returns embeddings,
    float32 [N, D]. `compile` needs only an optimizer; its `jit_compile` compiles the network and
    its gradient alone (None: on GPUs), or the whole step (True).

    Args:
        network: from `vie_tf.models.families.build`, or any other that maps clips float32
            [B, T, H, W, 3], in 0..255, to a dict with `embedding`, float32 [B, D] of unit norm.
        bank: one row, of dimension D, for each training video.
        noise_samples: K of the NCE estimate; 0 computes the softmax over the whole bank.
        temperature: tau of eq. 2.
        colour: what `colour_noise` does to the clips.
        seed: of the noise samples.
        clusters: of the bank's videos; None without Local Aggregation.
        neighbours: K of Local Aggregation's background neighbours.

    Attributes:
        aggregates: whether steps are those of Local Aggregation, see `aggregate`.
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
        self.plateau = None  # drops the learning rate, see `training.learning_rate.Plateau`
        self.seconds_waiting = 0.0  # for data, in total
        self.left_out: list[tf.Tensor] = []  # rows of unreadable videos, -1 for readable ones
        self.means = Means("loss", "data", "noise", "close", "alone")  # of all objectives
        self.built = True  # as its parts are

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, *self.means.metrics]

    @property
    def state(self) -> dict[str, keras.layers.Layer]:
        """What a checkpoint holds besides network and optimizer."""
        parts = {"bank": self.bank, "clusters": self.clusters}
        return {name: part for name, part in parts.items() if part is not None}

    def call(self, clip: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        return self.network(clip, training=training)

    def embed(self, clip: tf.Tensor) -> tf.Tensor:
        """Returns the embeddings in training mode, float32 [B, D]."""
        return self.network(clip, training=True)["embedding"]

    def objective(self, embeddings: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the loss of each item, float32 [B] under `loss`, from the current bank."""
        if self.aggregates:
            return self.aggregation(embeddings, index)
        if not self.noise_samples:
            similarities = self.bank.all_similarities(embeddings)
            return {
                "loss": instance_recognition.softmax_loss(similarities, index, self.temperature)
            }
        own = self.bank.similarities(embeddings, index[:, None])[:, 0]
        others = self.bank.similarities(embeddings, self.noise(items(index)))
        return instance_recognition.nce_loss(own, others, self.bank.size, self.temperature)

    def aggregate(self) -> None:
        """Switches all further steps to Local Aggregation; fill `clusters` first."""
        self.aggregates, self.train_function, self.test_function = True, None, None

    def aggregation(self, embeddings: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns Local Aggregation's `loss`, and `close`, the share of close neighbours.

        Also `alone`: 1 if no background neighbour is close, so that the item teaches nothing.
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
            # An embedding that is not a number has no neighbours, but its loss must show it.
            "loss": loss + 0.0 * tf.reduce_sum(embeddings, axis=1),
            "close": share,
            "alone": tf.cast(share == 0, tf.float32),
        }

    def noise(self, batch: tf.Tensor | int) -> tf.Tensor:
        """Draws rows for this step and this replica's part of the batch, int64 [batch, K].

        They are drawn for the global batch and cut, so that they do not depend on how many
        replicas share it.
        """
        everybody, first = own_part(batch)
        seeds = tf.stack([tf.constant(self.seed, tf.int64), self.optimizer.iterations])[None]
        rows = draws.integers(seeds, everybody * self.noise_samples, self.bank.size)
        rows = tf.reshape(rows, (-1, self.noise_samples))
        return rows[first : first + batch]

    def take_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Learns from a replica's batch; returns its losses and the learning rate, float32 []."""
        clip = colour_noise(batch["clip"], batch["seed"], self.colour)
        with tf.GradientTape() as tape:
            embeddings = self.forward(clip)
            losses = self.objective(embeddings, batch["index"])
            loss = tf.reduce_mean(losses["loss"])
        rate = learn(self, tape, loss)
        self.bank.update(batch["index"], embeddings, batch["label"])
        logs = {name: tf.reduce_mean(value) for name, value in losses.items()}
        return {**logs, "learning_rate": rate}

    def train_step(self, data) -> dict[str, tf.Tensor]:
        batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.means.after(self.take_step(batch), items(batch["index"]))

    def test_step(self, data) -> dict[str, tf.Tensor]:
        batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        embeddings, index = self.predict_step(batch), batch["index"]
        logs = self.means.after(self.objective(embeddings, index))
        # If `compile` is given no metrics, nothing uses these, and TensorFlow prunes them.
        similarities = None if self.bank.shards > 1 else self.bank.all_similarities(embeddings)
        found = self.compute_metrics(batch, index, similarities, None)
        unused = {metric.name for metric in self.means.metrics} - logs.keys()
        return {name: value for name, value in found.items() if name not in unused}

    def predict_step(self, data) -> tf.Tensor:
        return self.network(clips_of(data), training=False)["embedding"]

    def get_config(self) -> dict:
        parts = {name: getattr(self, name) for name in ("network", "bank", "clusters")}
        return {
            **{name: keras.saving.serialize_keras_object(part) for name, part in parts.items()},
            "noise_samples": self.noise_samples,
            "temperature": self.temperature,
            "colour": dataclasses.asdict(self.colour),
            "seed": self.seed,
            "neighbours": self.neighbours,
            "aggregates": self.aggregates,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects=None) -> VIE:
        config = dict(config)
        aggregates = config.pop("aggregates")
        for name in ("network", "bank", "clusters"):
            config[name] = keras.saving.deserialize_keras_object(config[name], custom_objects)
        model = cls(**{**config, "colour": ColourNoise(**config["colour"])})
        if aggregates:
            model.aggregate()
        return model
