"""Which frames make a clip: pure functions of a video's length (paper section 3 and appendix A)."""

from __future__ import annotations

import tensorflow as tf


def random_frame(frames: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """VIE-Single in training: one frame, every frame as likely as any other.

    Args:
        frames: int64 [], the video's number of frames.
        seed: int32 [2].

    Returns:
        int64 [1], in 0..frames-1.
    """
    return tf.random.stateless_uniform((1,), seed, 0, frames, tf.int64)


def equally_spaced_frames(frames: tf.Tensor, clips: int = 5) -> tf.Tensor:
    """VIE-Single in tests: the middle frames of `clips` equal parts.

    Args:
        frames: int64 [], the video's number of frames.
        clips: how many.

    Returns:
        int64 [clips, 1], in 0..frames-1.
    """
    parts = 2 * tf.range(clips, dtype=tf.int64) + 1
    return (parts * frames // (2 * clips))[:, None]
