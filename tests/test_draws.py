"""Numbers of many seeds at once against TensorFlow's of each."""

import numpy as np
import pytest
import tensorflow as tf

from vie_tf.data import draws

SEEDS = {
    "int32": np.random.default_rng(0).integers(-(2**31), 2**31, (20, 2)).astype(np.int32),
    "int64": np.array([[5, 2**40 + 3], [-7, -(2**33)], [0, 0], [2**62, -1]]),
}


@pytest.mark.parametrize("kind", SEEDS)
@pytest.mark.parametrize("count", [1, 9, 12])
def test_uniform(kind, count):
    each = [tf.random.stateless_uniform((count,), seed) for seed in SEEDS[kind]]
    np.testing.assert_array_equal(draws.uniform(tf.constant(SEEDS[kind]), count), each)


@pytest.mark.parametrize("kind", SEEDS)
@pytest.mark.parametrize("below", [2, 240_000, 2**31 - 1])
def test_integers(kind, below):
    each = [tf.random.stateless_uniform((7,), s, 0, below, tf.int32) for s in SEEDS[kind]]
    np.testing.assert_array_equal(draws.integers(tf.constant(SEEDS[kind]), 7, below), each)


def test_many_numbers_of_one_seed_also_where_their_count_is_computed():
    expected = tf.random.stateless_uniform((30, 41), [3, 7], 0, 1000, tf.int32)
    count = tf.shape(expected)[0] * 41
    found = draws.integers(tf.constant([[3, 7]]), count, 1000)
    np.testing.assert_array_equal(tf.reshape(found, (30, 41)), expected)


def test_split():
    each = [tf.random.experimental.stateless_split(seed, 5) for seed in SEEDS["int32"]]
    np.testing.assert_array_equal(draws.split(tf.constant(SEEDS["int32"]), 5), each)
