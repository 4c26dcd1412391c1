"""Crops of clips, chosen before anything is decoded.

Only the part of a frame that a crop needs is then decoded (`frames.cut`). The crops are functions
of a video's size and a seed: one draw per clip, so all its frames are cropped alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable

import tensorflow as tf

# The paper crops 224 pixels from frames whose short side is 256..319; scaled for other image sizes.
PAPER_CROP, SHORTEST, LONGEST = 224, 256, 320

CORNER_SCALES = tuple(2 ** (-power / 4) for power in range(5))
# Centre, corners: the share of the free space that is above and to the left of the crop.
PLACES = ((0.5, 0.5), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
ATTEMPTS = 10  # of random-sized crops, before the fallback
NARROWEST, WIDEST = 3 / 4, 4 / 3  # width over height of random-sized crops


@dataclass(frozen=True)
class Crop:
    """A square from a resized part of the frame.

    Attributes:
        box: int32 [4], top, left, height and width of the part, in pixels of the video; no pixel
            from outside is used.
        resized: int32 [2], height and width that the part is resized to.
        corner: int32 [2], top and left of the square in the resized part; or one for each frame,
            int32 [T, 2].
        flip: bool [], whether to mirror left and right afterwards.
        area: average over areas instead of the other crops' antialiasing bilinear filter; the
            square is then all of the resized part.
    """

    box: tf.Tensor
    resized: tf.Tensor
    corner: tf.Tensor
    flip: tf.Tensor
    area: bool = False


def random_crop(size: tf.Tensor, image_size: int, seed: tf.Tensor, flip: bool = True) -> Crop:
    """Draws a short side and a square, flipped half of the time (VIE, appendix).

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
    corner = _random_corner(tf.random.stateless_uniform((2,), draw[1]), resized, image_size)
    return Crop(_whole(size), resized, corner, _flipped(draw[2], flip))


def corner_crop(size: tf.Tensor, image_size: int, seed: tf.Tensor, flip: bool = True) -> Crop:
    """Draws a square of one of five sizes in the centre or a corner ("Multi-scale", 3D-ResNets).

    Arguments as for `random_crop`. Its side is the short side times 1, 2^-1/4, .. 1/2, truncated;
    in the centre, as in the authors' loader, one less if that is odd.
    """
    draw = tf.random.experimental.stateless_split(seed, 3)
    scale = tf.constant(CORNER_SCALES, tf.float64)[_one_of(len(CORNER_SCALES), draw[0])]
    side = tf.cast(tf.cast(tf.reduce_min(size), tf.float64) * scale, tf.int32)
    place = _one_of(len(PLACES), draw[1])
    half = side // 2
    centred = place == 0
    side = tf.where(centred, 2 * half, side)
    free = tf.cast(size - side, tf.float32)
    corner = tf.cast(tf.constant(PLACES)[place] * free, tf.int32)
    corner = tf.where(centred, size // 2 - half, corner)
    return _box_crop(corner, tf.stack([side, side]), image_size, _flipped(draw[2], flip))


def squeezed_crop(size: tf.Tensor, image_size: int, seed: tf.Tensor, flip: bool = True) -> Crop:
    """Squeezes the frame into a square of 136 pixels and crops 112 anywhere in it (3DRotNet).

    Arguments as for `random_crop`; scaled for other image sizes.
    """
    draw = tf.random.experimental.stateless_split(seed, 2)
    resized = tf.fill([2], 136 * image_size // 112)
    corner = _random_corner(tf.random.stateless_uniform((2,), draw[0]), resized, image_size)
    return Crop(_whole(size), resized, corner, _flipped(draw[1], flip))


def squeezed_centre(size: tf.Tensor, image_size: int) -> Crop:
    """The test crop of `squeezed_crop`: its centre. Same arguments."""
    crop = squeezed_crop(size, image_size, tf.zeros(2, tf.int32), flip=False)
    return replace(crop, corner=(crop.resized - image_size) // 2)


def random_sized_crop(
    size: tf.Tensor,
    image_size: int,
    seed: tf.Tensor,
    flip: bool = True,
    area: tuple[float, float] = (0.08, 1.0),
    log_aspect: bool = False,
    centred_fallback: bool = False,
) -> Crop:
    """Draws a box of random area, shape and place, which is resized to a square (Inception).

    The first of ten draws that fits in the frame is taken. Width over height is 3/4 to 4/3, swapped
    with height over width half of the time (VIE's code).

    Args:
        size: as in `random_crop`.
        image_size: as in `random_crop`.
        seed: as in `random_crop`.
        flip: as in `random_crop`.
        area: smallest and largest share of the frame, drawn uniformly.
        log_aspect: draws the logarithm of the aspect uniformly (large-scale study), not the aspect.
        centred_fallback: if none fits, takes the largest centred box that the aspect range allows
            (large-scale study), not a random square of the whole short side (VIE's code).
    """
    draw = tf.random.experimental.stateless_split(seed, 3)
    u = tf.random.stateless_uniform((5, ATTEMPTS), draw[0])
    areas = (area[0] + u[0] * (area[1] - area[0])) * tf.cast(tf.reduce_prod(size), tf.float32)
    if log_aspect:
        aspects = NARROWEST * (WIDEST / NARROWEST) ** u[1]
    else:
        aspects = NARROWEST + u[1] * (WIDEST - NARROWEST)
    aspects = tf.where(u[2] < 0.5, aspects, 1.0 / aspects)
    sides = tf.round(tf.sqrt(tf.stack([areas / aspects, areas * aspects], axis=1)))
    sides = tf.cast(sides, tf.int32)
    fits = tf.reduce_all((sides > 0) & (sides <= size), axis=1)
    first = tf.argmax(tf.cast(fits, tf.int32))
    corner = _random_corner(u[3:, first], size, sides[first])
    if centred_fallback:
        short = tf.cast(tf.reverse(size, [0]), tf.float32) * [1 / NARROWEST, WIDEST]
        else_sides = tf.minimum(size, tf.cast(tf.round(short), tf.int32))
        else_corner = (size - else_sides) // 2
    else:
        else_corner, else_sides = _random_square(size, draw[1])
    found = tf.reduce_any(fits)
    return _box_crop(
        tf.where(found, corner, else_corner),
        tf.where(found, sides[first], else_sides),
        image_size,
        _flipped(draw[2], flip),
    )


def distorted_crop(size: tf.Tensor, image_size: int, seed: tf.Tensor, flip: bool = True) -> Crop:
    """Draws ImageNet's training crop in the authors' code: TensorFlow's own Inception crop.

    Arguments as for `random_crop`. Its distribution differs from that of `random_sized_crop`: 0.2
    to 1 of the frame, with uniform height for a given aspect. A draw of the whole frame is replaced
    by a random square of the whole short side.
    """
    draw = tf.random.experimental.stateless_split(seed, 3)
    begin, sides, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([size, [3]], axis=0),
        tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        draw[0],
        min_object_covered=0.1,
        aspect_ratio_range=(NARROWEST, WIDEST),
        area_range=(0.2, 1.0),
        max_attempts=100,
    )
    whole = tf.reduce_all(sides[:2] == size)
    square_corner, square = _random_square(size, draw[1])
    corner = tf.where(whole, square_corner, begin[:2])
    sides = tf.where(whole, square, sides[:2])
    return _box_crop(corner, sides, image_size, _flipped(draw[2], flip), area=True)


def centre_crop(size: tf.Tensor, image_size: int) -> Crop:
    """The test crop: short side 256 for 224, centre, no flip. Arguments as for `random_crop`."""
    return ten_crop(size, image_size, 0)


def ten_crop(size: tf.Tensor, image_size: int, view: int | tf.Tensor) -> Crop:
    """One of ten views: centre and corners, and their mirror images; short side 256 for 224.

    Args:
        size: as in `random_crop`.
        image_size: as in `random_crop`.
        view: 0..9; 0 is the centre, those from 5 on are mirrored.
    """
    resized = resized_size(size, SHORTEST * image_size // PAPER_CROP)
    free = tf.cast(resized - image_size, tf.float32)
    # Half pixels are rounded to even, as in the authors' loader.
    corner = tf.cast(tf.round(tf.constant(PLACES)[view % len(PLACES)] * free), tf.int32)
    return Crop(_whole(size), resized, corner, tf.convert_to_tensor(view >= len(PLACES)))


def square_crop(size: tf.Tensor, image_size: int) -> Crop:
    """The test crop of `corner_crop`: the centre square of the whole short side. Same arguments.

    At 112 pixels it is `centre_crop`, as in the authors' code.
    """
    if image_size == PAPER_CROP // 2:
        return centre_crop(size, image_size)
    return _centre_square(size, tf.reduce_min(size), image_size)


def area_crop(size: tf.Tensor, image_size: int) -> Crop:
    """The test crop of `distorted_crop`: `centre_crop`'s extent, area-averaged. Same arguments."""
    short = tf.cast(tf.reduce_min(size), tf.float32)
    side = tf.cast(tf.round(short * (PAPER_CROP / SHORTEST)), tf.int32)
    return _centre_square(size, side, image_size, area=True)


@dataclass(frozen=True)
class TestCrops:
    """The crops of a test clip.

    Attributes:
        crop: size int32 [2], image size -> Crop; with several views also the view, int64 [].
        views: number of views.
    """

    __test__ = False  # pytest would take it for a test
    crop: Callable
    views: int = 1

    def of(self, size: tf.Tensor, image_size: int, view: tf.Tensor) -> Crop:
        """Returns the crop of a view, 0..views-1."""
        if self.views == 1:
            return self.crop(size, image_size)
        return self.crop(size, image_size, view)


CENTRE = TestCrops(centre_crop)
TEN = TestCrops(ten_crop, 2 * len(PLACES))


def resized_size(size: tf.Tensor, short: tf.Tensor) -> tf.Tensor:
    """Returns height and width, int32 [2], for a given short side; the other one is truncated."""
    size, short = tf.cast(size, tf.int64), tf.cast(short, tf.int64)
    return tf.cast(size * short // tf.reduce_min(size), tf.int32)


def _whole(size: tf.Tensor) -> tf.Tensor:
    return tf.concat([[0, 0], size], axis=0)


def _box_crop(
    corner: tf.Tensor, sides: tf.Tensor, image_size: int, flip: tf.Tensor, area: bool = False
) -> Crop:
    """Returns the crop that is a whole box, of any shape."""
    box = tf.concat([corner, sides], axis=0)
    return Crop(box, tf.constant([image_size, image_size]), tf.constant([0, 0]), flip, area)


def _centre_square(size: tf.Tensor, side: tf.Tensor, image_size: int, area: bool = False) -> Crop:
    corner = tf.cast(tf.round(tf.cast(size - side, tf.float32) / 2.0), tf.int32)
    return _box_crop(corner, tf.stack([side, side]), image_size, tf.constant(False), area)


def _random_square(size: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws corner and sides of a square of the whole short side, int32 [2] each."""
    short = tf.reduce_min(size)
    uniform = tf.random.stateless_uniform((2,), seed)
    return _random_corner(uniform, size, short), tf.stack([short, short])


def _random_corner(uniform: tf.Tensor, size: tf.Tensor, side: tf.Tensor | int) -> tf.Tensor:
    """Places a box of `side` in `size`, every place equally likely; uniform float32 [2] in 0..1."""
    return tf.cast(uniform * tf.cast(size - side + 1, tf.float32), tf.int32)


def _one_of(choices: int, seed: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform((), seed, 0, choices, tf.int32)


def _flipped(seed: tf.Tensor, flip: bool) -> tf.Tensor:
    return (tf.random.stateless_uniform((), seed) < 0.5) if flip else tf.constant(False)
