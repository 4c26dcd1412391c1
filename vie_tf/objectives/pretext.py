"""Pretext tasks, whose labels come from the clip: frame order and rotation.

Order prediction (OPN; Lee et al. 2017): all 24 orders of a clip's four frames are shown, and the
network classifies each as one of 12, since an order and its reverse count as one. 3DRotNet (Jing et
al. 2018): the clip is rotated by 0, 90, 180 and 270 degrees, and the network predicts by which.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Callable

import tensorflow as tf

from vie_tf.keras2 import keras
from vie_tf.models import heads
from vie_tf.models.inference import of_clips

ORDERS = tuple(itertools.permutations(range(4)))
# One of each order and its reverse: the one that begins with the earlier frame.
CLASSES = tuple(order for order in ORDERS if order < order[::-1])


def turned(clip: tf.Tensor) -> tf.Tensor:
    """Rotates every frame by 0, 90, 180 and 270 degrees counter-clockwise.

    Args:
        clip: [B, T, S, S, 3] of any type.

    Returns:
        The same type, [4 B, T, S, S, 3]: the four of the first clip, then those of the second, ...
    """
    across = tf.transpose(clip, (0, 1, 3, 2, 4))
    four = (clip, tf.reverse(across, [2]), tf.reverse(clip, [2, 3]), tf.reverse(across, [3]))
    return tf.reshape(tf.stack(four, axis=1), (-1, *clip.shape[1:]))


@dataclass(frozen=True)
class Pretext:
    """A pretext task.

    Attributes:
        labels: the M labels, from 0, of the versions of a clip that are shown.
        shown: maps clips [B, ...] to the network's input.
        classify: the network's head, for `families.build`.
    """

    labels: tuple[int, ...]
    shown: Callable
    classify: Callable

    @property
    def classes(self) -> int:
        return max(self.labels) + 1

    def answers(self, network: keras.Model, clip: tf.Tensor, training: bool) -> tf.Tensor:
        """Returns the network's logits for clips [B, T, S, S, 3], float32 [B, M, classes]."""
        logits = network(self.shown(clip), training=training)["logits"]
        return tf.reshape(logits, (-1, len(self.labels), self.classes))


# By the names of --loss. The head of `order` shuffles the frames' features, which is the same as
# shuffling the frames, since each frame goes through the network by itself.
PRETEXTS = {
    "order": Pretext(
        tuple(CLASSES.index(min(order, order[::-1])) for order in ORDERS),
        lambda clip: clip,
        heads.order_logits,
    ),
    "rotation": Pretext(tuple(range(4)), turned, heads.rotation_logits),
}


def solver(network: keras.Model, task: Pretext) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns clips -> float32 [B], each clip's share of right answers in inference mode."""
    labels = tf.constant(task.labels, tf.int64)

    def solve(clip):
        right = tf.argmax(task.answers(network, clip, training=False), -1) == labels
        return tf.reduce_mean(tf.cast(right, tf.float32), axis=1)

    return of_clips(network, solve)
