"""A toy objective, all of it: embeddings come close to a point of their own. A file of a user's.

python tests/toy_objective.py --loss=toy --data=VIDEOS --workdir=RUN
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from vie_tf.keras2 import keras
from vie_tf.objectives.objective import Objective
from vie_tf.objectives.registry import OBJECTIVES
from vie_tf.settings import setting
from vie_tf.training.step import Forward, learn


def pull(embeddings: tf.Tensor, target: tf.Tensor, strength: float) -> tf.Tensor:
    """Squared distances to a target, float32 [B], times the strength."""
    return strength * tf.reduce_sum(tf.square(embeddings - target), axis=1)


class Pulled(keras.Model):
    """Trains a network by `pull`, towards the mean of what it has seen."""

    def __init__(self, network: keras.Model, strength: float):
        super().__init__(name="pulled")
        self.network, self.strength = network, strength
        self.mean = tf.Variable(tf.one_hot(0, 128), trainable=False)
        self.state, self.plateau = {"pulled": tf.train.Checkpoint(mean=self.mean)}, None
        self.forward = Forward(self, lambda clip: network(clip, training=True)["embedding"])
        self.seconds_waiting, self.left_out = 0.0, []

    def take_step(self, batch):
        with tf.GradientTape() as tape:
            embeddings = self.forward(tf.cast(batch["clip"], tf.float32))
            loss = tf.reduce_mean(pull(embeddings, self.mean, self.strength))
        rate = learn(self, tape, loss)
        self.mean.assign(0.9 * self.mean + 0.1 * tf.reduce_mean(embeddings, axis=0))
        return {"loss": loss, "learning_rate": rate}


@dataclass(frozen=True)
class Toy(Objective):
    """The toy."""

    strength: float | None = setting(None, "Of the pull. Default: by the videos.", kind=float)

    def constants(self, videos, batch_size):
        return {"strength": 1.0 if videos < 1000 else 0.5}

    def model(self, network, videos, colour, settings):
        return Pulled(network, self.strength)

    def measures(self, model, embed, held_out, clips, k):
        return lambda: {"length": float(tf.norm(model.mean))}


OBJECTIVES["toy"] = Toy

if __name__ == "__main__":
    from vie_tf.main import run

    run()
