"""Linear read-outs of a frozen network, trained jointly with augmentation (paper section 4)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Callable

import numpy as np
import tensorflow as tf

from vie_tf.data.augmentation import PAPER_COLOUR_NOISE, Augmentation, ColourNoise, colour_noise
from vie_tf.data.pipeline import TestClips
from vie_tf.data.videos import VideoSet
from vie_tf.evaluation.embed import clip_means
from vie_tf.evaluation.taps import Taps
from vie_tf.keras2 import keras
from vie_tf.models import heads
from vie_tf.models.inference import of_clips
from vie_tf.objectives.replicas import items
from vie_tf.output import whole
from vie_tf.runs import workdir
from vie_tf.runs.checkpoints import Checkpoints
from vie_tf.settings import Settings
from vie_tf.training import loop
from vie_tf.training.optimizer import compile_model
from vie_tf.training.step import Forward, Means, clips_of, learn


@keras.utils.register_keras_serializable("vie_tf")
class ReadOut(keras.Model):
    """Softmax classifiers of several taps; only they learn, from the sum of their cross entropies.

    `fit` takes batches as `VIE` does. `evaluate` takes batches with `clip` and `label`, and returns
    the losses on unaltered clips, and for each tap the `metrics` given to `compile`. `predict`
    takes the same or clips alone, and returns logits by tap.

    Args:
        frozen: the network, always in inference mode.
        taps: the features that the classifiers see.
        num_classes: of each classifier.
        seed: of the initial weights.
        colour: what `colour_noise` does to the clips.

    Attributes:
        network: the trained part, from the taps' vectors to the logits; both are dicts by tap.
    """

    def __init__(
        self,
        frozen: keras.Model,
        taps: Taps,
        num_classes: int,
        seed: int = 0,
        colour: ColourNoise = PAPER_COLOUR_NOISE,
    ):
        super().__init__(name="readout")
        self.frozen, self.taps, self.colour = frozen, taps, colour
        self.num_classes, self.seed = num_classes, seed
        self.frozen.trainable = False
        values = {name: tap.shape[1] for name, tap in self.features(_black(frozen)).items()}
        self.network = heads.read_outs(values, num_classes, seed)
        self.forward = Forward(self, self.features)
        self.plateau, self.state = None, {}  # for checkpoints, as in `VIE`
        self.seconds_waiting = 0.0  # for data, in total
        self.left_out: list[tf.Tensor] = []  # rows of unreadable videos, -1 for readable ones
        self.means = Means("loss", *(f"{name}_loss" for name in values))
        self.built = True  # as its parts are

    def features(self, clip: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the classifiers' inputs for clips [B, T, H, W, 3]: float32 [B, D] by tap."""
        return self.taps(self.frozen(clip, training=False))

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, *self.means.metrics]

    def call(self, clip: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        return self.network(self.features(clip))

    def take_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Learns from a replica's batch; returns its losses and the learning rate, float32 []."""
        clip = colour_noise(batch["clip"], batch["seed"], self.colour)
        features = self.forward(clip)
        with tf.GradientTape() as tape:
            losses = cross_entropies(self.network(features), batch["label"])
            loss = tf.add_n(list(losses.values()))
        rate = learn(self, tape, loss)
        each = {f"{name}_loss": value for name, value in losses.items()}
        return {"loss": loss, **each, "learning_rate": rate}

    def train_step(self, data) -> dict[str, tf.Tensor]:
        batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.means.after(self.take_step(batch), items(batch["label"]))

    def test_step(self, data) -> dict[str, tf.Tensor]:
        batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        logits, label = self.predict_step(batch), batch["label"]
        losses = cross_entropies(logits, label)
        each = {f"{name}_loss": value for name, value in losses.items()}
        self.means.after({"loss": tf.add_n(list(losses.values())), **each}, items(label))
        return self.compute_metrics(batch, dict.fromkeys(logits, label), logits, None)

    def predict_step(self, data) -> dict[str, tf.Tensor]:
        return self.network(self.features(clips_of(data)))

    def get_config(self) -> dict:
        return {
            "frozen": keras.saving.serialize_keras_object(self.frozen),
            "taps": {"outputs": dict(self.taps.outputs), "largest": self.taps.largest},
            "num_classes": self.num_classes,
            "seed": self.seed,
            "colour": dataclasses.asdict(self.colour),
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects=None) -> ReadOut:
        frozen = keras.saving.deserialize_keras_object(config["frozen"], custom_objects)
        taps, colour = Taps(**config["taps"]), ColourNoise(**config["colour"])
        return cls(frozen, taps, config["num_classes"], config["seed"], colour)

    def probabilities(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns clips -> float32 [B, taps, classes], traced once."""

        def classify(clip):
            return tf.nn.softmax(tf.stack(list(self(clip).values()), axis=1))

        return of_clips(self.frozen, classify)

    def save_read_outs(self, path: Path, **values: float) -> None:
        """Writes the kernel [D, C] and bias [C] of each tap, and values, as an .npz file."""
        arrays = {}
        for name in self.taps.outputs:
            layer = self.network.get_layer(f"{name}_logits")
            arrays |= {f"{name}_kernel": layer.kernel.numpy(), f"{name}_bias": layer.bias.numpy()}
        with whole(path) as part, part.open("wb") as file:
            np.savez(file, **arrays, **values)


def cross_entropies(logits: dict[str, tf.Tensor], labels: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the mean cross entropy of a batch for each tap, float32 []."""
    return {
        name: tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, values))
        for name, values in logits.items()
    }


def train_read_outs(
    model: ReadOut,
    videos: VideoSet,
    held_out: VideoSet,
    clips: TestClips,
    recipe: Augmentation,
    settings: Settings,
    folder: Path,
) -> None:
    """Trains read-outs to the last step, or resumes their training.

    Args:
        model: new.
        videos: to train on.
        held_out: a part of the train split that detects plateaus and selects the read-outs for
            `best.npz` (the last of equally good ones); if empty, there is no such file.
        clips: of a held-out video; those of training have its sampling.
        recipe: of the training clips.
        settings: of the read-outs, with a learning rate, an image size and colour noise.
        folder: for `last.npz`, `best.npz`, checkpoints, metrics.jsonl and tensorboard/.

    Raises:
        InputError: the folder cannot be written, or another process trains there.
        SystemExit: with 130, after a signal.
    """
    compile_model(model, settings)
    classify, best = model.probabilities(), folder / "best.npz"

    def measure() -> dict[str, float]:
        if not len(held_out):
            return {}
        found = clip_means(classify, held_out, clips)
        right = (found.argmax(axis=2) == held_out.labels[:, None]).mean(axis=0)
        top1, step = float(right.mean()), int(model.optimizer.iterations.numpy())
        if step and top1 >= _best(best, step):
            model.save_read_outs(best, top1=top1, step=step)
        each = {f"{name}_top1": float(x) for name, x in zip(model.taps.outputs, right)}
        return {"top1": top1, **each}

    with workdir.held(folder):
        saved = Checkpoints(folder / "checkpoints", model, settings.record.keep)
        last = settings.schedule.steps
        step = loop.restore(saved, folder, last) or 0
        watch = loop.watched(folder, saved, measure, step, videos, settings)

        def fit() -> None:
            loop.fit(model, videos, clips.sampling, recipe, settings, last, watch)

        loop.train(watch, saved, fit, compiles=settings.network.xla is not False)
        model.save_read_outs(folder / "last.npz", step=last)


def _best(path: Path, step: int) -> float:
    """Returns the held-out accuracy of the best read-outs written before a step, else -1."""
    if not path.exists():
        return -1.0
    with np.load(path) as arrays:
        # Later ones are from a run that was killed after its last checkpoint and then resumed.
        return float(arrays["top1"]) if arrays["step"] < step else -1.0


def _black(network: keras.Model) -> tf.Tensor:
    return tf.zeros((1, *network.input.shape[1:]))
