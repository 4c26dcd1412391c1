"""VIE-TwoStream: what VIE-Single and a Slow or SlowFast network see of the same clip, together."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras

from vie_tf.models import heads
from vie_tf.models.input_single import input_single


def two_stream(single: keras.Model, motion: keras.Model) -> keras.Model:
    """Builds the two-pathway model of two networks that were trained apart (paper section 3).

    Args:
        single: from `families.build("single")`; sees every frame, and its maps are averaged.
        motion: from `families.build` of the same depth, another family; both share their weights
            with the model and give an embedding.

    Returns:
        A model from the clips of `motion` to a dict: the taps `encode_1`.. [B, h, w, C1 + C2], both
        networks' averaged over time and concatenated, single first, and `embedding` float32
        [B, D1 + D2], the unit vector along both embeddings one after the other.
    """
    clip = keras.Input(motion.input.shape[1:], dtype="float32", name="clip")
    still, moving = input_single(single, clip.shape[1])(clip), motion(clip)
    taps = [k for k in still if k.startswith("encode") and k in moving]
    outputs = {
        k: tf.concat([still[k], tf.cast(tf.reduce_mean(moving[k], 1), still[k].dtype)], axis=-1)
        for k in taps
    }
    both = tf.concat([still["embedding"], moving["embedding"]], axis=-1)
    outputs["embedding"] = heads.UnitNorm(name="embedding")(both)
    return keras.Model(clip, outputs, name="two_stream")
