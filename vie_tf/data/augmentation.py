"""Clip augmentation: one draw per clip, so all its frames are cropped and coloured alike.

It has two halves. The crop is chosen before anything is decoded, so that only that part of a frame
is decoded (`vie_tf.data.crops`, in the tf.data graph). Colour noise is heavier and runs on whole
batches where the network runs (`colour_noise`): frame by frame on a CPU, all at once on a GPU.
`AUGMENTATIONS` are the recipes of the papers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Callable

import tensorflow as tf

from vie_tf import device
from vie_tf.data import crops, draws
from vie_tf.data.blur import blurred

GREY = (0.299, 0.587, 0.114)  # ITU-R 601 luma, as in Pillow's "L"


@dataclass(frozen=True)
class ColourNoise:
    """Strength and order of the colour noise; the defaults are VIE's.

    Attributes:
        brightness, contrast, saturation: factors are drawn from 1 - strength .. 1 + strength.
        hue: the shift is drawn from -hue .. hue, as a fraction of the colour circle.
        grey: probability that the clip becomes grey.
        grey_first: whether it does so before the other changes, not after them.
        jittered: probability that brightness, contrast, saturation and hue are changed at all.
        blur: probability of a Gaussian blur at the end.
        apart: whether each frame has its own draws.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.4
    grey: float = 0.3
    grey_first: bool = False
    jittered: float = 1.0
    blur: float = 0.0
    apart: bool = False

    @property
    def strengths(self) -> list[float]:
        """The values of --colour_noise, in the order of `STRENGTHS`."""
        return [getattr(self, name) for name in STRENGTHS]


PAPER_COLOUR_NOISE = ColourNoise()
NO_NOISE = ColourNoise(0, 0, 0, 0, 0)
STRENGTHS = ("brightness", "contrast", "saturation", "hue", "grey")  # those of --colour_noise


@dataclass(frozen=True)
class Augmentation:
    """How training clips are made, and how the corresponding test clips are cropped.

    Attributes:
        crop: size int32 [2], image size, seed int32 [2], whether it may be flipped -> Crop.
        colour: what `colour_noise` does.
        test: the crops of test clips.
        flip: whether half of the training clips are mirrored.
        shake: how far each training frame's square is moved separately, in pixels either way, but
            not out of the frame (OPN's spatial jitter).
    """

    crop: Callable = crops.random_crop
    colour: ColourNoise = PAPER_COLOUR_NOISE
    test: crops.TestCrops = crops.CENTRE
    flip: bool = True
    shake: int = 0

    def training_crop(
        self, size: tf.Tensor, image_size: int, frames: int, seed: tf.Tensor
    ) -> crops.Crop:
        """Draws the crop of a training clip of `frames`; other arguments are those of `crop`."""
        crop = self.crop(size, image_size, seed, self.flip)
        if not self.shake:
            return crop
        seed, reach = tf.random.experimental.stateless_fold_in(seed, 1), self.shake
        moves = tf.random.stateless_uniform((frames, 2), seed, -reach, reach + 1, tf.int32)
        corners = tf.clip_by_value(crop.corner + moves, 0, crop.resized - image_size)
        return replace(crop, corner=corners)


VIE_AUGMENTATION = Augmentation()

# By the names of --augmentation (vie_tf.settings).
AUGMENTATIONS = {
    "colour_noise": VIE_AUGMENTATION,
    "multi_scale": Augmentation(crops.corner_crop, NO_NOISE, crops.TestCrops(crops.square_crop)),
    "random_sized": Augmentation(crops.random_sized_crop, NO_NOISE),
    "simclr": Augmentation(
        partial(crops.random_sized_crop, area=(0.2, 0.766), log_aspect=True, centred_fallback=True),
        ColourNoise(0.6, 0.6, 0.6, 0.15, 0.2, jittered=0.8, blur=0.5),
    ),
    "imagenet": Augmentation(
        crops.distorted_crop,
        ColourNoise(grey=0.2, grey_first=True),
        crops.TestCrops(crops.area_crop),
    ),
    "opn": Augmentation(shake=5),
    "opn_apart": Augmentation(colour=ColourNoise(apart=True), shake=5),
    "rotnet": Augmentation(crops.squeezed_crop, NO_NOISE, crops.TestCrops(crops.squeezed_centre)),
}


def luma(planes: list[tf.Tensor]) -> tf.Tensor:
    """Returns the brightness of red, green and blue, in their shape."""
    return sum(share * plane for share, plane in zip(GREY, planes))


def mixed(planes: list[tf.Tensor], factor: tf.Tensor, target: tf.Tensor) -> list[tf.Tensor]:
    """Returns factor * plane + (1 - factor) * target for each plane, in 0..255."""
    rest = (1.0 - factor) * target
    return [tf.clip_by_value(factor * plane + rest, 0.0, 255.0) for plane in planes]


def shift_hue(planes: list[tf.Tensor], shift: tf.Tensor) -> list[tf.Tensor]:
    """Rotates the hue of red, green and blue (any shape) by a fraction of a full turn."""
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
        place = first + hue + 6.0 * shift  # tf.math.floormod compiles to slow code
        place -= 6.0 * tf.floor(place / 6.0)
        return largest - chroma * tf.clip_by_value(tf.minimum(place, 4.0 - place), 0.0, 1.0)

    return [plane(5.0), plane(3.0), plane(1.0)]


def without_colour(planes: list[tf.Tensor], grey: tf.Tensor) -> list[tf.Tensor]:
    """Replaces red, green and blue by their brightness where `grey`."""
    brightness = luma(planes)
    return [tf.where(grey, brightness, plane) for plane in planes]


def jitter(
    clip: tf.Tensor,
    blend: tf.Tensor,
    hue: tf.Tensor,
    order: tf.Tensor,
    grey: tf.Tensor,
    grey_first: bool = False,
) -> tf.Tensor:
    """Applies colour noise with given draws.

    Brightness, contrast and saturation are factor * pixel + (1 - factor) * target, with targets
    black, the frame's mean brightness, and the pixel's own brightness. (The large-scale study's
    code takes the mean of all frames, which also pulls their brightness together or apart; VIE
    takes the frame's own mean, which needs one pass.)

    Args:
        clip: uint8 [B, T, H, W, 3].
        blend: float32 [B, 3], factors of brightness, contrast, saturation; 1 changes nothing.
        hue: float32 [B], shift as a fraction of the circle.
        order: int32 [B, 4], a permutation: 0 brightness, 1 contrast, 2 saturation, 3 hue.
        grey: bool [B], whether to drop the colour.
        grey_first: whether to do so first, not last.

    Returns:
        float32 [B, T, H, W, 3] in 0..255.
    """
    way = jitter_batch if device.on_gpu() else jitter_frames
    return way(clip, blend, hue, order, grey, grey_first)


# Compiled, each operation is one pass over a frame; op by op, TensorFlow needs a dozen.
@tf.function(jit_compile=True)
def jitter_frames(clip, blend, hue, order, grey, grey_first: bool = False) -> tf.Tensor:
    """`jitter` on a CPU: frame by frame, since one frame fits in its cache."""

    def noisy(one: tuple) -> tf.Tensor:
        frame, blend, hue, order, grey = one
        operations = (
            lambda planes: mixed(planes, blend[0], 0.0),
            lambda planes: mixed(planes, blend[1], tf.reduce_mean(luma(planes))),
            lambda planes: mixed(planes, blend[2], luma(planes)),
            lambda planes: shift_hue(planes, hue),
        )
        planes = tf.unstack(tf.cast(frame, tf.float32), axis=-1)
        if grey_first:
            planes = without_colour(planes, grey)
        for turn in tf.range(4):
            branches = [partial(operation, planes) for operation in operations]
            planes = tf.switch_case(order[turn], branches)
        return tf.stack(planes if grey_first else without_colour(planes, grey), axis=-1)

    shape = tf.shape(clip)
    frames = tf.reshape(clip, tf.concat([[-1], shape[2:]], axis=0))
    each = [tf.repeat(draw, shape[1], axis=0) for draw in (blend, hue, order, grey)]
    frames = tf.map_fn(noisy, (frames, *each), fn_output_signature=tf.float32)
    return tf.reshape(frames, shape)


@tf.function(jit_compile=True, autograph=False)
def jitter_batch(clip, blend, hue, order, grey, grey_first: bool = False) -> tf.Tensor:
    """`jitter` on a GPU: all clips at once, in four rounds of a mean and one pass over them.

    In each round a clip is blended as its own operation says, or shifted in hue.
    """

    def by_clip(values: tf.Tensor) -> tf.Tensor:
        return tf.reshape(values, (-1, 1, 1, 1))

    grey = by_clip(grey)
    planes = tf.unstack(tf.cast(clip, tf.float32), axis=-1)
    if grey_first:
        planes = without_colour(planes, grey)
    for turn in range(4):
        what = order[:, turn]
        factor = tf.ones_like(hue)
        for operation in range(3):
            factor = tf.where(what == operation, blend[:, operation], factor)
        what = by_clip(what)
        brightness = luma(planes)
        mean = tf.reduce_mean(brightness, axis=(2, 3), keepdims=True)
        target = tf.where(what == 1, mean, tf.where(what == 2, brightness, 0.0))
        blended = mixed(planes, by_clip(factor), target)
        turned = shift_hue(planes, by_clip(hue))
        planes = [tf.where(what == 3, new, old) for new, old in zip(turned, blended)]
    return tf.stack(planes if grey_first else without_colour(planes, grey), axis=-1)


def colour_noise(clip: tf.Tensor, seed: tf.Tensor, strength: ColourNoise) -> tf.Tensor:
    """Changes brightness, contrast, saturation, hue in random order; grey, blur ("color noise").

    Args:
        clip: uint8 [B, T, H, W, 3].
        seed: int32 [B, 2], one for each clip: the same seed gives the same noise.
        strength: ranges of the draws.

    Returns:
        float32 [B, T, H, W, 3] in 0..255.
    """
    if strength.apart:
        frames = clip.shape[1]
        seeds = draws.split(seed, frames)
        each = tf.reshape(clip, (-1, 1, *clip.shape[2:]))
        alike = replace(strength, apart=False)
        noisy = colour_noise(each, tf.reshape(seeds, (-1, 2)), alike)
        return tf.reshape(noisy, (-1, *clip.shape[1:]))
    ranges = (strength.brightness, strength.contrast, strength.saturation, strength.hue)
    drawn = draws.uniform(seed, 12)
    if any((*ranges, strength.grey)):
        jittered = tf.cast(drawn[:, 9:10] < strength.jittered, tf.float32)
        spread = (2.0 * drawn[:, :4] - 1.0) * tf.constant(ranges, tf.float32) * jittered
        clip = jitter(
            clip,
            blend=1.0 + spread[:, :3],
            hue=spread[:, 3],
            order=tf.argsort(drawn[:, 4:8], axis=1),
            grey=drawn[:, 8] < strength.grey,
            grey_first=strength.grey_first,
        )
    clip = tf.cast(clip, tf.float32)
    if strength.blur:
        clip = blurred(clip, drawn[:, 10] < strength.blur, drawn[:, 11])
    return clip
