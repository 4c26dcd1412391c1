"""Comparing pixels with those of other code."""

import numpy as np
import tensorflow as tf


def reader(frames):
    """The `read` of `crops.cut` that is of frames, uint8 [T, H, W, 3], in memory."""
    return lambda box: tf.constant(frames)[:, box[0] : box[0] + box[2], box[1] : box[1] + box[3]]


def near(ours, expected, mean, largest):
    """Checks the mean and the largest difference."""
    difference = np.abs(np.asarray(ours, np.float64) - expected)
    assert difference.mean() <= mean and difference.max() <= largest, (
        difference.mean(),
        difference.max(),
    )
