"""The Fast path alone: many frames, an eighth of the channels."""

from __future__ import annotations

from vie_tf.models import heads, resnet

WIDTHS = (8, 16, 32, 64)
TIME = resnet.Time(stem=5, first=(3, 3, 3, 3))


def fast(clip, depth: int, bn_momentum: float):
    """Builds the Fast network of the authors' code.

    Args:
        clip: Keras tensor [B, T, H, W, 3] of pixel values in 0..255.
        depth: 18, 34 or 50.
        bn_momentum: of batch normalisation's moving statistics.

    Returns:
        The taps [B, T, h, w, C] by name, and the pooled features, float32 [B, C].
    """
    taps = resnet.resnet(clip, depth, bn_momentum, WIDTHS, TIME)
    return taps, heads.pool(resnet.last_tap(taps))
