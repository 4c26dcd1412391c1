"""Gaussian blur of clips, frame by frame, each clip by its own width."""

from __future__ import annotations

import tensorflow as tf

SIGMA = (0.1, 2.0)  # pixels, of images of 224; other sizes scale that
OF_IMAGE = 224
REACH = 4.0  # of the kernel, in units of the largest sigma


@tf.function
def blurred(clip: tf.Tensor, chosen: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Blurs some of the clips (SimCLR, MoCo v2); beyond its border a frame goes on as it ends.

    One matrix for the columns of all frames of a clip, one for the rows: what multiplies large
    matrices quickly is also the shortest way to give every clip a kernel of its own.

    Args:
        clip: float32 [B, T, H, W, 3].
        chosen: bool [B], which clips.
        width: float32 [B], in 0..1: where in its range sigma is.

    Returns:
        float32 [B, T, H, W, 3].
    """
    rows = tf.where(chosen)
    soft = tf.gather_nd(clip, rows)  # only these, which halves the work
    batch, frames, height, breadth = tf.unstack(tf.shape(soft)[:4])
    scale = tf.cast(tf.minimum(height, breadth), tf.float32) / OF_IMAGE
    sigma = (SIGMA[0] + tf.gather_nd(width, rows)[:, None] * (SIGMA[1] - SIGMA[0])) * scale
    reach = tf.cast(tf.math.ceil(REACH * SIGMA[1] * scale), tf.int32)
    offset = tf.range(-reach, reach + 1)
    kernel = tf.nn.softmax(-0.5 * (tf.cast(offset, tf.float32) / sigma) ** 2, axis=1)

    def matrix(side: tf.Tensor) -> tf.Tensor:
        source = tf.clip_by_value(tf.range(side)[:, None] + offset, 0, side - 1)
        return tf.einsum("bk,ikj->bij", kernel, tf.one_hot(source, side))

    soft = tf.reshape(soft, [batch, frames, height, breadth * 3])
    soft = tf.reshape(
        tf.matmul(matrix(height)[:, None], soft), [batch, frames * height, breadth, 3]
    )
    soft = tf.einsum("bij,brjc->bric", matrix(breadth), soft)
    soft = tf.reshape(soft, [batch, frames, height, breadth, 3])
    return tf.tensor_scatter_nd_update(clip, rows, soft)
