"""Comparing pixels with those of other code."""

import numpy as np
import tensorflow as tf

from vie_tf.data.frames import Frames, pixels


def reader(frames):
    """The `read` of `frames.cut` that is of frames, uint8 [T, H, W, 3], in memory."""

    def read(box):
        part = tf.constant(frames)[:, box[0] : box[0] + box[2], box[1] : box[1] + box[3]]
        return Frames(part, lambda frame: frame, tf.constant(""))

    return read


def clip_of(videos, row, frames):
    """Whole frames of a video: uint8 [T, H, W, 3]."""
    box = tf.constant([0, 0, *videos.sizes[row]], tf.int32)
    read = tf.function(
        lambda number: pixels(videos.read(number, tf.constant(frames, tf.int64), box))
    )
    return read(tf.constant(videos.numbers[row], tf.int64)).numpy()


def near(ours, expected, mean, largest):
    """Checks the mean and the largest difference."""
    difference = np.abs(np.asarray(ours, np.float64) - expected)
    assert difference.mean() <= mean and difference.max() <= largest, (
        difference.mean(),
        difference.max(),
    )
