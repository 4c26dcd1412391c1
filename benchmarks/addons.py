"""What tensorflow-addons does of the augmentation, against this package.

    pip install '.[addons]' && python -m benchmarks.addons

Both work on the same clips, in turns. tensorflow-addons takes one strength a call, so it is called
for each clip.
"""

from __future__ import annotations

import statistics
import time
import warnings
from typing import Callable

import numpy as np
import tensorflow as tf

from vie_tf.data.augmentation import jitter
from vie_tf.data.blur import SIGMA, blurred

CLIPS, FRAMES, SIDE, ROUNDS = 8, 16, 224, 9

with warnings.catch_warnings():
    # It says that it is at its end of life; docs/install.md says so too.
    warnings.simplefilter("ignore")
    try:
        import tensorflow_addons as tfa
    except ImportError as error:
        raise SystemExit("no tensorflow-addons: pip install '.[addons]'") from error


def compare(what: str, ours: Callable, theirs: Callable) -> None:
    """Prints both medians, and that of the ratios."""
    functions, seconds = (ours, theirs), ([], [])
    for turn in range(ROUNDS + 1):
        for function, taken in zip(functions, seconds):
            start = time.perf_counter()
            float(tf.reduce_sum(function()[:, 0, 0, 0]))
            if turn:  # the first compiles
                taken.append(time.perf_counter() - start)
    ratio = statistics.median(b / a for a, b in zip(*seconds))
    print(
        f"{what:24} vie_tf {statistics.median(seconds[0]):.3f} s, tensorflow-addons "
        f"{statistics.median(seconds[1]):.3f} s, x {ratio:.1f}",
        flush=True,
    )


def main() -> None:
    """Prints a line for each operation."""
    rng = np.random.default_rng(0)
    clips = tf.constant(rng.integers(0, 256, (CLIPS, FRAMES, SIDE, SIDE, 3)), tf.uint8)
    pixels = tf.cast(clips, tf.float32)
    widths = tf.constant(rng.uniform(size=CLIPS), tf.float32)
    chosen = tf.ones(CLIPS, tf.bool)
    # Of a constant width: any other is a new trace, and one that is a tensor is refused.
    half = SIGMA[0] + 0.5 * (SIGMA[1] - SIGMA[0])
    print(f"{CLIPS} clips of {FRAMES} frames of {SIDE} pixels")
    compare(
        "blur, one width for all",
        lambda: blurred(pixels, chosen, 0 * widths + 0.5),
        tf.function(lambda: tf.map_fn(lambda c: tfa.image.gaussian_filter2d(c, 17, half), pixels)),
    )
    compare(
        "blur, a width a clip",
        lambda: blurred(pixels, chosen, widths),
        lambda: tf.stack(
            [
                tfa.image.gaussian_filter2d(clip, 17, float(SIGMA[0] + w * (SIGMA[1] - SIGMA[0])))
                for clip, w in zip(pixels, rng.uniform(size=CLIPS))
            ]
        ),
    )
    hue = tf.constant(rng.uniform(-0.4, 0.4, CLIPS), tf.float32)
    factor = tf.constant(rng.uniform(0.6, 1.4, CLIPS), tf.float32)
    blend = tf.stack([tf.ones(CLIPS), tf.ones(CLIPS), factor], axis=1)
    order = tf.tile(tf.range(4)[None], [CLIPS, 1])

    def in_yiq(one: tuple) -> tf.Tensor:
        clip, shift, scale = one
        return tfa.image.adjust_hsv_in_yiq(clip, 2 * np.pi * shift, scale)

    compare(
        "hue and saturation",
        lambda: jitter(clips, blend, hue, order, tf.zeros(CLIPS, tf.bool)),
        tf.function(
            lambda: tf.map_fn(
                in_yiq, (tf.cast(clips, tf.float32), hue, factor), fn_output_signature=tf.float32
            )
        ),
    )


if __name__ == "__main__":
    main()
