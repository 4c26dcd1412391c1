"""VIE-3DResNet: time is treated as space is."""

from __future__ import annotations

from vie_tf.models import heads, resnet

TIME = resnet.Time(stem=7, as_space=True)


def resnet3d(clip, depth: int, bn_momentum: float):
    """The network of paper section 3, "3D-ResNets"; on frames far apart, the authors' Vanilla3D.

    Args:
        clip: Keras tensor [B, T, H, W, 3] of pixel values in 0..255.
        depth: 18, 34 or 50.
        bn_momentum: of batch normalisation's moving statistics.

    Returns:
        The taps [B, t, h, w, C] by name, t from T / 2 to T / 16, and the features, float32 [B, C].
    """
    taps = resnet.resnet(clip, depth, bn_momentum, time=TIME)
    return taps, heads.pool(resnet.last_tap(taps))
