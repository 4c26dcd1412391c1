"""VIE-SlowFast: a Slow path that sees every fourth frame and is fed by a Fast path."""

from __future__ import annotations

from vie_tf.keras2 import keras
from vie_tf.models import fast, heads, resnet, slow
from vie_tf.models.layers import Subsample

ALPHA = 4  # the Fast path sees this many times as many frames as the Slow path


def slowfast(clip, depth: int, bn_momentum: float):
    """Builds the network of paper section 3, "SlowFast".

    The Fast maps join the Slow path after the first pooling and after every stage, including the
    last (as in the authors' code).

    Args:
        clip: Keras tensor [B, T, H, W, 3] of pixel values in 0..255.
        depth: 18, 34 or 50.
        bn_momentum: of batch normalisation's moving statistics.

    Returns:
        The taps by name, and the pooled features of Slow and Fast path, float32 [B, C]. Taps are
        the Slow path's, [B, ceil(T / 4), h, w, C], with the joined maps; `fast_encode_10` (at
        depth 18) is the last of the Fast path, [B, T, h, w, C].
    """
    laterals = []

    def leave(x, frames):
        name = f"lateral{len(laterals) + 1}"
        laterals.append(resnet.conv(x, frames, 2 * x.shape[-1], (5, 1), (ALPHA, 1), name))
        return x

    def join(x, frames):
        return keras.layers.Concatenate()([x, laterals.pop(0)])

    fast_taps = resnet.resnet(
        clip, depth, bn_momentum, fast.WIDTHS, fast.TIME, prefix="fast_", joint=leave
    )
    # In float32, so that pixels are not rounded before they are normalised.
    every_fourth = Subsample((ALPHA, 1, 1), dtype="float32")(clip)
    taps = resnet.resnet(
        every_fourth, depth, bn_momentum, time=slow.TIME, prefix="slow_", joint=join
    )
    last = resnet.last_tap(fast_taps)
    pooled = [heads.pool(resnet.last_tap(taps), "slow_pool"), heads.pool(last, "fast_pool")]
    return {**taps, f"fast_encode_{len(taps)}": last}, keras.layers.Concatenate()(pooled)
