"""Pretext tasks, whose labels are made of the clip: the order of frames and rotation.

Order prediction (OPN; Lee et al. 2017): all 24 orders of a clip's four frames are shown, and the
network tells which of 12 each is, since an order and its reverse count as one. 3DRotNet (Jing et
al. 2018): the clip is shown turned by 0, 90, 180 and 270 degrees, and the network tells by which.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Callable

import tensorflow as tf
from tensorflow import keras

from vie_tf.models import heads

ORDERS = tuple(itertools.permutations(range(4)))
# One of each order and its reverse: that which begins with the earlier frame.
CLASSES = tuple(order for order in ORDERS if order < order[::-1])


def turned(clip: tf.Tensor) -> tf.Tensor:
    """Every frame turned by 0, 90, 180 and 270 degrees counter-clockwise.

    Args:
        clip: of any type [B, T, S, S, 3].

    Returns:
        The same type, [4 B, T, S, S, 3]: the four of the first clip, then those of the second, ...
    """
    across = tf.transpose(clip, (0, 1, 3, 2, 4))
    four = (clip, tf.reverse(across, [2]), tf.reverse(clip, [2, 3]), tf.reverse(across, [3]))
    return tf.reshape(tf.stack(four, axis=1), (-1, *clip.shape[1:]))


@dataclass(frozen=True)
class Pretext:
    """A task.

    Attributes:
        labels: of what is shown of each clip, M of them, from 0.
        shown: clips [B, ...] to what the network takes of them.
        classify: the network's head, for `families.build`.
    """

    labels: tuple[int, ...]
    shown: Callable
    classify: Callable

    @property
    def classes(self) -> int:
        return max(self.labels) + 1

    def answers(self, network: keras.Model, clip: tf.Tensor, training: bool) -> tf.Tensor:
        """What the network says of clips [B, T, S, S, 3], float32 [B, M, classes]."""
        logits = network(self.shown(clip), training=training)["logits"]
        return tf.reshape(logits, (-1, len(self.labels), self.classes))


# By the names of --loss. The head of `order` shuffles the frames' features, which are those of the
# shuffled frames, since each frame goes through the network by itself.
PRETEXTS = {
    "order": Pretext(
        tuple(CLASSES.index(min(order, order[::-1])) for order in ORDERS),
        lambda clip: clip,
        heads.order_logits,
    ),
    "rotation": Pretext(tuple(range(4)), turned, heads.rotation_logits),
}


def solver(network: keras.Model, task: Pretext) -> Callable[[tf.Tensor], tf.Tensor]:
    """The share of a clip's answers that are right, in inference mode: clips -> float32 [B]."""
    labels = tf.constant(task.labels, tf.int64)

    @tf.function(reduce_retracing=True)
    def solve(clip):
        right = tf.argmax(task.answers(network, clip, training=False), -1) == labels
        return tf.reduce_mean(tf.cast(right, tf.float32), axis=1)

    return solve
