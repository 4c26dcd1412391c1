"""Gaussian blur of clips, frame by frame, with a width for each clip."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from vie_tf import device

SIGMA = (0.1, 2.0)  # pixels, for images of 224; scaled for other sizes
OF_IMAGE = 224
REACH = 4.0  # of the kernel, in units of the largest sigma


def blurred(clip: tf.Tensor, chosen: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Blurs some of the clips (SimCLR, MoCo v2); border pixels are repeated outside a frame.

    One matrix is for the columns of all frames of a clip, one for the rows: large matrix products
    are fast, and they are the shortest way to give every clip its own kernel.

    Args:
        clip: float32 [B, T, H, W, 3]; T, H and W are known.
        chosen: bool [B], which clips.
        width: float32 [B], in 0..1: position of sigma in its range.

    Returns:
        float32 [B, T, H, W, 3].
    """
    if device.on_gpu():  # picking some would make the host wait for their number
        return tf.where(tf.reshape(chosen, (-1, 1, 1, 1, 1)), _soft(clip, width), clip)
    rows = tf.where(chosen)
    soft = _soft(tf.gather_nd(clip, rows), tf.gather_nd(width, rows))  # which halves the work
    return tf.tensor_scatter_nd_update(clip, rows, soft)


def _soft(clip: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Returns all clips blurred."""
    frames, height, breadth = clip.shape[1:4]
    scale = min(height, breadth) / OF_IMAGE
    sigma = (SIGMA[0] + width[:, None] * (SIGMA[1] - SIGMA[0])) * scale
    reach = math.ceil(REACH * SIGMA[1] * scale)
    offset = np.arange(-reach, reach + 1)
    kernel = tf.exp(-0.5 * (offset.astype(np.float32) / sigma) ** 2)
    kernel /= tf.reduce_sum(kernel, axis=1, keepdims=True)

    def matrix(side: int) -> tf.Tensor:
        source = np.clip(np.arange(side)[:, None] + offset, 0, side - 1)
        return tf.einsum("bk,ikj->bij", kernel, np.eye(side, dtype=np.float32)[source])

    soft = tf.reshape(clip, [-1, frames, height, breadth * 3])
    soft = tf.reshape(tf.matmul(matrix(height)[:, None], soft), [-1, frames * height, breadth, 3])
    soft = tf.einsum("bij,brjc->bric", matrix(breadth), soft)
    return tf.reshape(soft, [-1, frames, height, breadth, 3])
