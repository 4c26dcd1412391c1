"""VIE-TwoStream: VIE-Single and a Slow or SlowFast network combined on the same clip."""

from __future__ import annotations

from vie_tf.keras2 import keras
from vie_tf.models import heads
from vie_tf.models.input_single import input_single
from vie_tf.models.layers import Mean


def two_stream(single: keras.Model, motion: keras.Model) -> keras.Model:
    """Builds the two-pathway model from two separately trained networks (paper section 3).

    Args:
        single: from `families.build("single")`; sees every frame, and its maps are averaged.
        motion: from `families.build` of the same depth, another family; both share their weights
            with the model and return an embedding.

    Returns:
        A model from the clips of `motion` to a dict: the taps `encode_1`, ... [B, h, w, C1 + C2],
        both networks' averaged over time and concatenated, single first, and `embedding` float32
        [B, D1 + D2], the unit vector along both embeddings concatenated.
    """
    clip = keras.Input(motion.input.shape[1:], dtype="float32", name="clip")
    still, moving = input_single(single, clip.shape[1])(clip), motion(clip)
    taps = [k for k in still if k.startswith("encode") and k in moving]
    outputs = {}
    for k in taps:
        mean = Mean((1,), dtype=moving[k].dtype)(moving[k])
        mean = keras.layers.Activation("linear", dtype=still[k].dtype)(mean)
        outputs[k] = keras.layers.Concatenate(dtype=still[k].dtype)([still[k], mean])
    both = [still["embedding"], moving["embedding"]]
    both = keras.layers.Concatenate(dtype="float32")(both)
    outputs["embedding"] = heads.UnitNorm(name="embedding")(both)
    return keras.Model(clip, outputs, name="two_stream")
