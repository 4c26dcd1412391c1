"""Clip augmentation: one draw a clip, so every frame of it is cropped and coloured alike.

Two halves. Where to cut is decided before anything is decoded, so that only that part of a frame is
decoded (`random_crop`, `centre_crop`, `cut`: in the tf.data graph). Colour noise is heavier and
runs on whole batches where the network runs (`colour_noise`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import tensorflow as tf

# The paper crops 224 pixels from frames whose short side is 256..319; other image sizes scale that.
PAPER_CROP, SHORTEST, LONGEST = 224, 256, 320

GREY = (0.299, 0.587, 0.114)  # ITU-R 601 luma, as in Pillow's "L"


@dataclass(frozen=True)
class Crop:
    """A rectangle of the resized frame.

    Attributes:
        resized: int32 [2], height and width that the frame is resized to.
        corner: int32 [2], top and left of the crop in the resized frame.
        flip: bool [], mirror left and right afterwards.
    """

    resized: tf.Tensor
    corner: tf.Tensor
    flip: tf.Tensor


def resized_size(size: tf.Tensor, short: tf.Tensor) -> tf.Tensor:
    """Height and width, int32 [2], of a frame resized to a short side; the other is truncated."""
    size, short = tf.cast(size, tf.int64), tf.cast(short, tf.int64)
    return tf.cast(size * short // tf.reduce_min(size), tf.int32)


def random_crop(size: tf.Tensor, image_size: int, seed: tf.Tensor, flip: bool = True) -> Crop:
    """Training: random short side, random square, flipped half of the time (appendix).

    Args:
        size: int32 [2], height and width of the video in pixels.
        image_size: side of the crop; at 224 the short side is drawn from 256..319.
        seed: int32 [2].
        flip: whether it may be flipped; the other draws are the same.
    """
    shortest = SHORTEST * image_size // PAPER_CROP
    longest = max(LONGEST * image_size // PAPER_CROP, shortest + 1)
    draw = tf.random.experimental.stateless_split(seed, 3)
    short = tf.random.stateless_uniform((), draw[0], shortest, longest, tf.int32)
    resized = resized_size(size, short)
    free = tf.cast(resized - image_size + 1, tf.float32)
    corner = tf.cast(tf.random.stateless_uniform((2,), draw[1]) * free, tf.int32)
    mirror = tf.random.stateless_uniform((), draw[2]) < 0.5
    return Crop(resized, corner, mirror if flip else tf.constant(False))


def centre_crop(size: tf.Tensor, image_size: int) -> Crop:
    """Tests: short side 256 of 224, centre square, no flip. Arguments as `random_crop`."""
    resized = resized_size(size, SHORTEST * image_size // PAPER_CROP)
    # Half a pixel goes to the even side, as in the authors' loader.
    corner = tf.cast(tf.round(tf.cast(resized - image_size, tf.float32) / 2.0), tf.int32)
    return Crop(resized, corner, tf.constant(False))


def cut(read, size: tf.Tensor, crop: Crop, image_size: int) -> tf.Tensor:
    """Decodes just what a crop needs, and resizes it with an antialiasing bilinear filter.

    The result is the crop of the resized whole frame, as Pillow makes it.

    Args:
        read: box int32 [4] (top, left, height, width) -> uint8 [T, height, width, 3].
        size: int32 [2], height and width of the video in pixels.
        crop: where to cut.
        image_size: side of the result in pixels.

    Returns:
        uint8 [T, image_size, image_size, 3].
    """
    scale = tf.cast(crop.resized, tf.float32) / tf.cast(size, tf.float32)
    # What the filter reaches beyond the crop's own border, in pixels of the video.
    reach = tf.maximum(1.0, 1.0 / scale) + 1.0
    first = tf.cast(crop.corner, tf.float32) / scale - reach
    last = tf.cast(crop.corner + image_size, tf.float32) / scale + reach
    first = tf.maximum(tf.cast(tf.floor(first), tf.int32), 0)
    last = tf.minimum(tf.cast(tf.math.ceil(last), tf.int32), size)
    pixels = read(tf.concat([first, last - first], axis=0))
    clip = tf.raw_ops.ScaleAndTranslate(
        images=pixels,
        size=(image_size, image_size),
        scale=scale,
        translation=tf.cast(first, tf.float32) * scale - tf.cast(crop.corner, tf.float32),
        kernel_type="triangle",
        antialias=True,
    )
    clip = tf.cast(tf.clip_by_value(tf.round(clip), 0.0, 255.0), tf.uint8)
    return tf.cond(crop.flip, lambda: tf.reverse(clip, axis=[2]), lambda: clip)


@dataclass(frozen=True)
class ColourNoise:
    """Strength of the colour noise; the defaults are the paper's.

    Attributes:
        brightness, contrast, saturation: factors are drawn from 1 - strength .. 1 + strength.
        hue: the shift is drawn from -hue .. hue, as a fraction of the colour circle.
        grey: probability that the clip loses its colour, after all else.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.4
    grey: float = 0.3


PAPER_COLOUR_NOISE = ColourNoise()


def shift_hue(planes: list[tf.Tensor], shift: tf.Tensor) -> list[tf.Tensor]:
    """Turns the colour circle of red, green and blue (any shape) by a share of a whole turn, []."""
    red, green, blue = planes
    largest = tf.maximum(red, tf.maximum(green, blue))
    chroma = largest - tf.minimum(red, tf.minimum(green, blue))
    scale = 1.0 / tf.maximum(chroma, 1e-12)
    hue = tf.where(
        largest == red,
        (green - blue) * scale,
        tf.where(largest == green, 2.0 + (blue - red) * scale, 4.0 + (red - green) * scale),
    )

    def plane(first: float) -> tf.Tensor:
        place = first + hue + 6.0 * shift  # tf.math.floormod is compiled to something slow
        place -= 6.0 * tf.floor(place / 6.0)
        return largest - chroma * tf.clip_by_value(tf.minimum(place, 4.0 - place), 0.0, 1.0)

    return [plane(5.0), plane(3.0), plane(1.0)]


# Compiled, each operation is one pass over a frame; op by op TensorFlow takes a dozen.
@tf.function(jit_compile=True)
def jitter(
    clip: tf.Tensor, blend: tf.Tensor, hue: tf.Tensor, order: tf.Tensor, grey: tf.Tensor
) -> tf.Tensor:
    """Colour noise with given draws.

    Brightness, contrast and saturation are factor * pixel + (1 - factor) * target, with targets
    black, the frame's mean brightness, and the pixel's own brightness.

    Args:
        clip: uint8 [B, T, H, W, 3].
        blend: float32 [B, 3], factors of brightness, contrast, saturation; 1 changes nothing.
        hue: float32 [B], shift as a fraction of the circle.
        order: int32 [B, 4], a permutation: 0 brightness, 1 contrast, 2 saturation, 3 hue.
        grey: bool [B], drop the colour at the end.

    Returns:
        float32 [B, T, H, W, 3] in 0..255.
    """

    def luma(planes: list[tf.Tensor]) -> tf.Tensor:
        return sum(share * plane for share, plane in zip(GREY, planes))

    def mixed(planes: list[tf.Tensor], factor: tf.Tensor, target: tf.Tensor) -> list[tf.Tensor]:
        rest = (1.0 - factor) * target
        return [tf.clip_by_value(factor * plane + rest, 0.0, 255.0) for plane in planes]

    def noisy(one: tuple) -> tf.Tensor:
        frame, blend, hue, order, grey = one
        operations = (
            lambda planes: mixed(planes, blend[0], 0.0),
            lambda planes: mixed(planes, blend[1], tf.reduce_mean(luma(planes))),
            lambda planes: mixed(planes, blend[2], luma(planes)),
            lambda planes: shift_hue(planes, hue),
        )
        planes = tf.unstack(tf.cast(frame, tf.float32), axis=-1)
        for turn in tf.range(4):
            branches = [partial(operation, planes) for operation in operations]
            planes = tf.switch_case(order[turn], branches)
        brightness = luma(planes)
        return tf.stack([tf.where(grey, brightness, plane) for plane in planes], axis=-1)

    shape = tf.shape(clip)
    # Frame by frame, since one frame stays in the processor's cache.
    frames = tf.reshape(clip, tf.concat([[-1], shape[2:]], axis=0))
    draws = [tf.repeat(draw, shape[1], axis=0) for draw in (blend, hue, order, grey)]
    frames = tf.map_fn(noisy, (frames, *draws), fn_output_signature=tf.float32)
    return tf.reshape(frames, shape)


def colour_noise(clip: tf.Tensor, seed: tf.Tensor, strength: ColourNoise) -> tf.Tensor:
    """Brightness, contrast, saturation and hue in random order, then grey (paper's "color noise").

    Args:
        clip: uint8 [B, T, H, W, 3].
        seed: int32 [B, 2], one for each clip: the same seed gives the same noise.
        strength: ranges of the draws.

    Returns:
        float32 [B, T, H, W, 3] in 0..255.
    """
    if strength == ColourNoise(0, 0, 0, 0, 0):
        return tf.cast(clip, tf.float32)
    draws = tf.map_fn(
        lambda s: tf.random.stateless_uniform((9,), s), seed, fn_output_signature=tf.float32
    )
    ranges = (strength.brightness, strength.contrast, strength.saturation, strength.hue)
    spread = (2.0 * draws[:, :4] - 1.0) * tf.constant(ranges, tf.float32)
    return jitter(
        clip,
        blend=1.0 + spread[:, :3],
        hue=spread[:, 3],
        order=tf.argsort(draws[:, 4:8], axis=1),
        grey=draws[:, 8] < strength.grey,
    )
