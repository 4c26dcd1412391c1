"""Random numbers for many seeds at once, on the device where the network runs.

`tf.random.stateless_uniform` takes one seed, which must be in host memory: draws for each clip of a
batch would be a loop over clips, and the host would wait for a seed that a GPU computes. This
module computes the same numbers by plain arithmetic on all seeds.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
# TensorFlow's: with this key, a seed becomes the key and half of the counter of the numbers.
_SCRAMBLE = (0x3EC8F720, 0x02461E29)


def _philox(counter: list[tf.Tensor], key: list[tf.Tensor]) -> list[tf.Tensor]:
    """Returns four blocks of bits from a counter of four, a key of two, all uint32, one shape."""

    def product(value: tf.Tensor, by: int) -> tuple[tf.Tensor, tf.Tensor]:
        whole = tf.cast(value, tf.uint64) * tf.constant(by, tf.uint64)
        high = tf.bitwise.right_shift(whole, tf.constant(32, tf.uint64))
        return tf.cast(high, tf.uint32), tf.cast(whole, tf.uint32)

    for turn in range(_ROUNDS):
        high, low = product(counter[0], _MULTIPLIERS[0])
        other_high, other_low = product(counter[2], _MULTIPLIERS[1])
        keys = [
            part + tf.constant(np.uint32(turn * weyl & 0xFFFFFFFF))
            for part, weyl in zip(key, _WEYL)
        ]
        xor = tf.bitwise.bitwise_xor
        counter = [
            xor(xor(other_high, counter[1]), keys[0]),
            other_low,
            xor(xor(high, counter[3]), keys[1]),
            low,
        ]
    return counter


def bits(seeds: tf.Tensor, count: int) -> tf.Tensor:
    """Returns the random bits that `tf.random.stateless_uniform` draws from each seed.

    Args:
        seeds: int32 or int64 [S, 2].
        count: for each seed.

    Returns:
        uint32 [S, count].
    """
    seeds = tf.cast(seeds, tf.int64)
    low = tf.cast(seeds, tf.uint32)
    high = tf.cast(tf.bitwise.right_shift(seeds, tf.constant(32, tf.int64)), tf.uint32)
    zero = tf.zeros_like(low[:, 0])
    key = [zero + tf.constant(np.uint32(part)) for part in _SCRAMBLE]
    mixed = _philox([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], key)
    # Each counter gives four numbers.
    place = zero[:, None] + tf.cast(tf.range((count + 3) // 4), tf.uint32)
    none = tf.zeros_like(place)
    counter = [place, none, none + mixed[2][:, None], none + mixed[3][:, None]]
    found = _philox(counter, [none + part[:, None] for part in mixed[:2]])
    return tf.reshape(tf.stack(found, axis=2), (tf.shape(seeds)[0], -1))[:, :count]


# Compiled, since on GPUs TensorFlow has such integer arithmetic only in its compiler.
@tf.function(jit_compile=True, reduce_retracing=True, autograph=False)
def uniform(seeds: tf.Tensor, count: int) -> tf.Tensor:
    """float32 [S, count] in [0, 1): each row is `tf.random.stateless_uniform((count,), seed)`."""
    mantissa = tf.bitwise.bitwise_and(bits(seeds, count), tf.constant(0x7FFFFF, tf.uint32))
    return tf.cast(mantissa, tf.float32) * (1.0 / (1 << 23))


@tf.function(jit_compile=True, reduce_retracing=True, autograph=False)
def integers(seeds: tf.Tensor, count: int, below: int) -> tf.Tensor:
    """int64 [S, count] in [0, below), as `stateless_uniform` with `minval=0, dtype=tf.int32`."""
    return tf.cast(bits(seeds, count) % tf.constant(below, tf.uint32), tf.int64)


@tf.function(jit_compile=True, reduce_retracing=True, autograph=False)
def split(seeds: tf.Tensor, count: int) -> tf.Tensor:
    """New seeds, int64 [S, count, 2]: `tf.random.experimental.stateless_split` of int32 ones."""
    found = tf.bitcast(bits(seeds, 2 * count), tf.int32)
    return tf.reshape(tf.cast(found, tf.int64), (-1, count, 2))
