"""VIE-Single on every frame of a clip, its features averaged (paper, appendix C: Input-Single)."""

from __future__ import annotations

from vie_tf.keras2 import keras
from vie_tf.models import heads
from vie_tf.models.layers import FoldTime, Mean, UnfoldTime


def input_single(single: keras.Model, frames: int) -> keras.Model:
    """Builds the control that sees as many frames as another family, but each on its own.

    Args:
        single: from `families.build("single")`; the weights are shared with it.
        frames: of a clip.

    Returns:
        A model from clips [B, frames, H, W, 3] to a dict like that of `single`: the taps
        [B, h, w, C] are means over the frames, embedding and logits those of the mean features.
    """
    # The vector before normalisation is linear in the features, so its mean is right.
    flat = {"embedding": single.get_layer("embedding").input}
    rows = keras.Model(single.input, {**single.output, **flat}, name=single.name)
    clip = keras.Input((frames, *single.input.shape[2:]), dtype="float32", name="clip")
    each = UnfoldTime(1)(FoldTime()(clip))
    outputs = {k: Mean((1,))(UnfoldTime(frames)(x)) for k, x in rows(each).items()}
    outputs["embedding"] = heads.UnitNorm(name="embedding")(outputs["embedding"])
    return keras.Model(clip, outputs, name="input_single")
