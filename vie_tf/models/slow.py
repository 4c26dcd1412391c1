"""VIE-Slow: few frames, far apart (`families.FAMILIES`: four frames, every sixteenth).

Only the last two stages convolve over time.
"""

from __future__ import annotations

from vie_tf.models import heads, resnet

TIME = resnet.Time(first=(1, 1, 3, 3))


def slow(clip, depth: int, bn_momentum: float):
    """Builds the network of paper section 3, "SlowFast": only its Slow path.

    Args:
        clip: Keras tensor [B, T, H, W, 3] of pixel values in 0..255.
        depth: 18, 34 or 50.
        bn_momentum: of batch normalisation's moving statistics.

    Returns:
        The taps [B, T, h, w, C] by name, and the pooled features, float32 [B, C].
    """
    taps = resnet.resnet(clip, depth, bn_momentum, time=TIME)
    return taps, heads.pool(resnet.last_tap(taps))
