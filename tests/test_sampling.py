"""Frame sampling against what the authors' loader draws."""

import golden_rule
import numpy as np
import pytest
import tensorflow as tf

from vie_tf.data import sampling

LENGTHS = golden_rule.load("sampling")[0]["families"]["single_frame"]


@pytest.mark.parametrize("length", [n for n in LENGTHS if n.isdigit()])
def test_validation_frames(length):
    for key, clips in (("val_groups5", 5), ("val_groups2", 2)):
        if key in LENGTHS[length]:
            ours = sampling.equally_spaced_frames(tf.constant(int(length), tf.int64), clips)
            assert (ours.numpy()[:, 0] + 1).tolist() == LENGTHS[length][key]  # theirs count from 1


def test_every_frame_is_drawn_equally_often():
    seeds = tf.stack([tf.range(3000), tf.zeros(3000, tf.int32)], axis=1)
    draws = tf.map_fn(
        lambda s: sampling.random_frame(tf.constant(12, tf.int64), s),
        seeds,
        fn_output_signature=tf.int64,
    )
    counts = np.bincount(draws.numpy().ravel(), minlength=12)
    assert len(counts) == 12 and counts.min() > 180 and counts.max() < 320
