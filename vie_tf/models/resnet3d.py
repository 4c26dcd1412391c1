"""VIE-3DResNet: treats time like space."""

from __future__ import annotations

from vie_tf.models import heads, resnet

TIME = resnet.Time(stem=7, as_space=True)


def resnet3d(clip, depth: int, bn_momentum: float):
    """Builds paper section 3's "3D-ResNets"; with frames far apart, the authors' Vanilla3D.

    Args:
        clip: Keras tensor [B, T, H, W, 3] of pixel values in 0..255.
        depth: 18, 34 or 50.
        bn_momentum: of batch normalisation's moving statistics.

    Returns:
        The taps [B, t, h, w, C] by name, t from T / 2 to T / 16, and the features, float32 [B, C].
    """
    taps = resnet.resnet(clip, depth, bn_momentum, time=TIME)
    return taps, heads.pool(resnet.last_tap(taps))
