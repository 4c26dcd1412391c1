"""VIE-TRN: every frame through the same 2D ResNet, then one linear layer on all of them."""

from __future__ import annotations

from vie_tf.keras2 import keras
from vie_tf.models import heads, resnet


def trn(clip, depth: int, bn_momentum: float):
    """Builds the network of paper section 3, "TRN" (the authors' code calls it tsrn).

    Args:
        clip: Keras tensor [B, T, H, W, 3] of pixel values in 0..255.
        depth: 18, 34 or 50.
        bn_momentum: of batch normalisation's moving statistics.

    Returns:
        The taps [B, T, h, w, C] by name, and the frames' pooled features concatenated in temporal
        order, float32 [B, T * C].
    """
    taps = resnet.resnet(clip, depth, bn_momentum)
    return taps, keras.layers.Flatten()(heads.pool_frames(resnet.last_tap(taps)))
