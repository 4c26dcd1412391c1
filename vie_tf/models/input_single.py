"""VIE-Single on every frame of a clip, its features averaged (paper, appendix C: Input-Single)."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras

from vie_tf.models import heads, resnet


def input_single(single: keras.Model, frames: int) -> keras.Model:
    """Builds the control that sees as many frames as another family, but each of them alone.

    Args:
        single: from `families.build("single")`; the weights are shared with it.
        frames: of a clip.

    Returns:
        A model from clips [B, frames, H, W, 3] to a dict as that of `single`: the taps [B, h, w, C]
        are means over the frames, the embedding or the logits those of the mean features.
    """
    head = "logits" if "logits" in single.output else "embedding_raw"
    taps = {k: x for k, x in single.output.items() if k.startswith("encode")}
    rows = keras.Model(
        single.input, {head: single.get_layer(head).output, **taps}, name=single.name
    )
    clip = keras.Input((frames, *single.input.shape[2:]), dtype="float32", name="clip")
    outputs = {
        k: tf.reduce_mean(resnet.unfold(x, frames), axis=1)
        for k, x in rows(resnet.fold(clip)[:, None]).items()
    }
    # The head is linear: the mean of its outputs is its output of the mean.
    if head == "embedding_raw":
        outputs["embedding"] = heads.UnitNorm(name="embedding")(outputs.pop(head))
    return keras.Model(clip, outputs, name="input_single")
