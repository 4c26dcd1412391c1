"""Frames of a video, from where they are stored to the pixels of a clip."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Callable, NamedTuple

import tensorflow as tf

from vie_tf.data.crops import Crop
from vie_tf.errors import InputError

_thread = threading.local()


class Frames(NamedTuple):
    """A part of some frames in stored form; they are turned into pixels one at a time.

    Attributes:
        stored: [T, ...], in the source's format.
        unpack: stored[t] -> uint8 [height, width, 3].
        problem: string [], why the frames cannot be read, in a line that names the video; '' if
            they can. Otherwise `stored` is meaningless, and must not be unpacked.
    """

    stored: tf.Tensor
    unpack: Callable[[tf.Tensor], tf.Tensor]
    problem: tf.Tensor


def pixels(frames: Frames) -> tf.Tensor:
    """Returns all frames, uint8 [T, height, width, 3]; a problem ends the graph with InputError."""
    checked = raise_problem(frames.stored, frames.problem)
    return tf.map_fn(frames.unpack, checked, fn_output_signature=tf.uint8)


def raise_problem(value: tf.Tensor, problem: tf.Tensor) -> tf.Tensor:
    """Returns the value unchanged; if there is a problem, raises an InputError with it."""

    def refuse() -> tf.Tensor:
        # If declared to have side effects, a deterministic run would read clips one by one.
        return tf.numpy_function(_refuse, [problem], value.dtype, stateful=False)

    checked = tf.cond(problem == "", lambda: value, refuse)
    checked.set_shape(value.shape)
    return checked


def _refuse(problem: bytes) -> None:
    raise InputError(problem.decode("utf-8", "surrogateescape"))


def in_python(
    function: Callable, inputs: Sequence[tf.Tensor], dtypes: Sequence[tf.DType]
) -> list[tf.Tensor]:
    """`tf.numpy_function` without side effects, suited to a call for every clip.

    Python creates its state of a TensorFlow thread for each call and deletes it afterwards. That
    maps and unmaps memory on all cores, which takes longer than reading a frame; so it is kept, 16
    KB per thread.
    """

    def call(*values):
        if not hasattr(_thread, "state"):
            _thread.state = ctypes.pythonapi.PyGILState_Ensure()
        return function(*values)

    return tf.numpy_function(call, inputs, dtypes, stateful=False)


def cut(read: Callable, crop: Crop, image_size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes only what a crop needs, and resizes it.

    The result is the crop of the resized part as Pillow makes it, with an antialiasing bilinear
    filter.

    Args:
        read: box int32 [4] (top, left, height, width) -> Frames of it, T of them.
        crop: where to cut.
        image_size: side of the result in pixels.

    Returns:
        uint8 [T, image_size, image_size, 3], and the problem of the Frames, string []; with one,
        the clip is black.
    """
    box, resize = _by_area(crop, image_size) if crop.area else _bilinear(crop, image_size)
    frames = read(box)
    each = (frames.stored, crop.corner) if crop.corner.shape.rank == 2 else frames.stored

    def one(stored: tf.Tensor | tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        stored, corner = stored if isinstance(stored, tuple) else (stored, crop.corner)
        # Averages of 0..255 stay in that range.
        return tf.cast(tf.round(resize(frames.unpack(stored), corner)), tf.uint8)

    def clip() -> tf.Tensor:
        if frames.stored.shape[0] == 1:  # a loop over one costs more than the frame
            cut = one(tf.nest.map_structure(lambda values: values[0], each))[None]
        else:  # frame by frame, since one frame fits in the CPU's cache
            shape = tf.TensorSpec((image_size, image_size, 3), tf.uint8)
            cut = tf.map_fn(one, each, fn_output_signature=shape)
        return tf.cond(crop.flip, lambda: tf.reverse(cut, axis=[2]), lambda: cut)

    def black() -> tf.Tensor:
        return tf.zeros((frames.stored.shape[0], image_size, image_size, 3), tf.uint8)

    return tf.cond(frames.problem == "", clip, black), frames.problem


def _by_area(crop: Crop, image_size: int) -> tuple[tf.Tensor, Callable]:
    """Returns the box that a crop needs, and a function that resizes a frame of it.

    It maps the frame and its `Crop.corner` to float32 [H, W, 3].
    """
    return crop.box, lambda frame, _: tf.image.resize(frame, (image_size, image_size), "area")


def _bilinear(crop: Crop, image_size: int) -> tuple[tf.Tensor, Callable]:
    """As `_by_area`."""
    start, extent = crop.box[:2], crop.box[2:]
    scale = tf.cast(crop.resized, tf.float32) / tf.cast(extent, tf.float32)
    # How far the filter reaches beyond the crop's own border, in pixels of the video.
    reach = tf.maximum(1.0, 1.0 / scale) + 1.0
    corners = tf.cast(tf.reshape(crop.corner, (-1, 2)), tf.float32)
    first = tf.reduce_min(corners, axis=0) / scale - reach
    last = (tf.reduce_max(corners, axis=0) + image_size) / scale + reach
    first = tf.maximum(tf.cast(tf.floor(first), tf.int32), 0)
    last = tf.minimum(tf.cast(tf.math.ceil(last), tf.int32), extent)
    start_shift = tf.cast(first, tf.float32) * scale

    def resize(frame: tf.Tensor, corner: tf.Tensor) -> tf.Tensor:
        shift = start_shift - tf.cast(corner, tf.float32)
        # Heights, then widths: TensorFlow's filter is three times as fast over rows of many numbers
        # as over pixels of three.
        for axis in range(2):
            frame = _filtered(frame, image_size, scale[axis], shift[axis])
            frame = tf.transpose(frame, (1, 0, 2))
        return frame

    return tf.concat([start + first, last - first], axis=0), resize


def _filtered(frame: tf.Tensor, size: int, scale: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Resizes [H, W, 3] to float32 [size, W, 3] with an antialiasing triangle filter."""
    height, width = tf.shape(frame)[0], tf.shape(frame)[1]
    rows = tf.raw_ops.ScaleAndTranslate(
        images=tf.reshape(frame, tf.stack([1, height, 1, 3 * width])),
        size=(size, 1),
        scale=tf.stack([scale, 1.0]),
        translation=tf.stack([shift, 0.0]),
        kernel_type="triangle",
        antialias=True,
    )
    return tf.reshape(rows, tf.stack([size, width, 3]))
