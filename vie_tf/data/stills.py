"""Still images in place of videos: a clip of one repeats the image."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from vie_tf.data.sampling import Sampling
from vie_tf.data.videos import VideoSet
from vie_tf.errors import InputError


def all_still(parts: Sequence[VideoSet], sampling: Sampling, where: str) -> bool:
    """Returns whether all videos are still images.

    Args:
        parts: the videos to train on and to test with.
        sampling: which frames make a clip.
        where: the mode and the data, to begin a message with.

    Raises:
        InputError: only some are, and a clip has several frames.
    """
    stills = np.concatenate([part.frames for part in parts]) == 1
    if stills.any() and not stills.all() and sampling.frames > 1:
        raise InputError(
            f"{where}: {stills.sum()} of {len(stills)} videos are still images, and clips have "
            f"{sampling.frames} frames: give images only, or videos only"
        )
    return bool(stills.all())


def tell(parts: Sequence[VideoSet], sampling: Sampling, where: str) -> None:
    """Prints on standard error how many are still images, if a clip has several frames."""
    stills = np.concatenate([part.frames for part in parts]) == 1
    if stills.any() and sampling.frames > 1:
        print(
            f"note: {where}: {stills.sum()} of {len(stills)} videos are still images: their clips "
            f"are one picture {sampling.frames} times",
            file=sys.stderr,
        )
