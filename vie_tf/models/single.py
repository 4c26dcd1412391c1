"""VIE-Single: one RGB frame through a 2D ResNet."""

from __future__ import annotations

from vie_tf.errors import InputError
from vie_tf.models import heads, resnet
from vie_tf.models.layers import FoldTime


def single(clip, depth: int, bn_momentum: float):
    """Builds the network of paper section 3, "Single-frame ResNets".

    Args:
        clip: Keras tensor [B, 1, H, W, 3] of pixel values in 0..255.
        depth: 18, 34 or 50.
        bn_momentum: of batch normalisation's moving statistics.

    Returns:
        The taps [B, h, w, C] by name, and the pooled features, float32 [B, C].

    Raises:
        InputError: clips have more than one frame.
    """
    if clip.shape[1] != 1:
        raise InputError(f"--family=single takes clips of 1 frame, not {clip.shape[1]}")
    taps = resnet.resnet(clip, depth, bn_momentum)
    return {k: FoldTime()(x) for k, x in taps.items()}, heads.pool(resnet.last_tap(taps))
