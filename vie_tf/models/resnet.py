"""The pre-activation ResNet that every family is made of (He et al. 2016, as VIE uses it).

Differences from the ResNets in `keras.applications`, all of them needed to load or compare the
authors' weights: no normalisation after the stem, a projection in the first block of *every*
stage (also the first), strided convolutions that pad both sides equally, and batch normalisation
with momentum 0.997.

Internally, time is folded into the batch, [B * T, h, w, C], so that single-frame operations run in
2D; a convolution over several frames unfolds its input, which costs nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Callable

import tensorflow as tf

from vie_tf import device
from vie_tf.keras2 import keras
from vie_tf.models.layers import FoldTime, Subsample, UnfoldTime, ZeroPadding

# Mean and standard deviation of ImageNet's RGB values, in 0..1.
RGB_MEAN = (0.485, 0.456, 0.406)
RGB_STD = (0.229, 0.224, 0.225)

BLOCKS_PER_STAGE = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
BOTTLENECK_FROM = 50  # depth from which a block is 1x1, 3x3, 1x1 with four times the width
STAGE_WIDTHS = (64, 128, 256, 512)


@dataclasses.dataclass(frozen=True)
class Time:
    """What a network does along time; by default it treats each frame separately.

    Attributes:
        stem: frames that the kernel of the first convolution spans.
        first: frames that the first convolution of each block spans, by stage.
        as_space: 3x3 convolutions are 3x3x3, and layers that halve height and width, except the
            stem, also halve time.
    """

    stem: int = 1
    first: tuple[int, int, int, int] = (1, 1, 1, 1)
    as_space: bool = False


@keras.utils.register_keras_serializable("vie_tf")
class NormaliseRGB(keras.layers.Layer):
    """Normalises pixels in 0..255 to zero mean and unit variance, in float32."""

    def __init__(self, **kwargs):
        # float32 even under a mixed policy: bfloat16 would round x/255 to 8 bits.
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)

    def call(self, pixels: tf.Tensor) -> tf.Tensor:
        scale = tf.constant([1.0 / (255.0 * std) for std in RGB_STD])
        shift = tf.constant([mean / std for mean, std in zip(RGB_MEAN, RGB_STD)])
        # A whole row of pixels at a time: broadcasting over just 3 channels is 5 times slower.
        shape = tf.shape(pixels)
        rows = tf.reshape(pixels, tf.concat([shape[:-2], [shape[-2] * 3]], axis=0))
        rows = rows * tf.tile(scale, shape[-2:-1]) - tf.tile(shift, shape[-2:-1])
        return tf.ensure_shape(tf.reshape(rows, shape), pixels.shape)


def conv(x, frames: int, filters: int, size: tuple, stride: tuple, name: str):
    """Convolves folded maps, without bias; `size` and `stride` are (frames, pixels)."""
    options = _options(name)
    if size == (1, 1):
        # The stride is not left to the convolution: for some strided 1x1 convolutions the filter
        # gradient of TensorFlow 2.15 with oneDNN crashes.
        return keras.layers.Conv2D(filters, 1, **options)(every(x, frames, stride))
    flat = size[0] == 1
    kernel, strides = ((n[0], n[1], n[1])[flat:] for n in (size, stride))
    padding = "same"
    x = x if flat else UnfoldTime(frames)(x)
    # The second case is for TensorFlow 2.15 with oneDNN: for a clip shorter than the kernel its
    # bfloat16 filter gradient is wrong, up to NaN, if the convolution itself pads.
    if max(strides) > 1 or 1 < frames < size[0]:
        x = _padding(kernel)(x)
        padding = "valid"
    kind = keras.layers.Conv2D if flat else keras.layers.Conv3D
    x = kind(filters, kernel, strides, padding, **options)(x)
    return x if flat else FoldTime()(x)


def _padding(kernel: tuple) -> keras.layers.Layer:
    """Returns the zero padding that a convolution of maps or clips needs on both sides."""
    margins = tuple(((k - 1) // 2, k - 1 - (k - 1) // 2) for k in kernel)
    return keras.layers.ZeroPadding2D(margins) if len(kernel) == 2 else ZeroPadding(margins)


def _options(name: str) -> dict:
    scaled = keras.initializers.VarianceScaling(1.0, "fan_in")
    return {"use_bias": False, "kernel_initializer": scaled, "name": name}


def stem(x, frames: int, filters: int, span: int, name: str):
    """The first convolution of folded maps: 7 x 7 pixels of `span` frames, with a stride of 2."""
    if span == 1:
        return Stem2D(filters, 7, 2, **_options(name))(_padding((7, 7))(x))
    kernel = (span, 7, 7)
    x = _padding(kernel)(UnfoldTime(frames)(x))
    return FoldTime()(Stem3D(filters, kernel, (1, 2, 2), **_options(name))(x))


class _Stem:
    """Computes a stem with a stride of 2 pixels, on a GPU, as one 2D convolution of many channels.

    Each 2 x 2 pixels, and the frames that the kernel spans, become channels. A GPU multiplies
    matrices of many channels; with the three of an image, most of what it multiplies is zero
    padding (for 7 frames: 12 and 5 ms, forward and for the kernel, of a step of 61).
    """

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """As the layer's own: [B, (T,) H, W, 3] -> [B, (T,) h, w, C], without padding.

        Args:
            inputs: with unknown H or W, or other strides, the layer's own method is used.
            kernel: [(t,) 7, 7, 3, C].
        """
        usual = self.strides in ((2, 2), (1, 2, 2)) and self.dilation_rate in ((1, 1), (1, 1, 1))
        if not usual or not device.on_gpu() or None in inputs.shape[1:]:
            return super().convolution_op(inputs, kernel)
        flat = inputs.shape.rank == 4
        if flat:
            inputs, kernel = inputs[:, None], kernel[None]
        span, size, _, channels, filters = kernel.shape
        frames, height, width = inputs.shape[1:4]
        frames -= span - 1
        out = [(side - size) // 2 + 1 for side in (height, width)]
        taps = -(-size // 2)  # in pairs of pixels
        blocks = [n + taps - 1 for n in out]
        # Half of the last pair may lie beyond the edge.
        edges = [(0, 2 * n - side) for n, side in zip(blocks, (height, width))]
        x = inputs
        if any(after for _, after in edges):
            x = tf.pad(x, ((0, 0), (0, 0), *edges, (0, 0)))
        x = tf.reshape(x, (-1, frames + span - 1, blocks[0], 2, blocks[1], 2, channels))
        x = tf.transpose(x, (0, 1, 2, 4, 3, 5, 6))
        x = tf.reshape(x, (-1, frames + span - 1, *blocks, 4 * channels))
        x = tf.concat([x[:, first : first + frames] for first in range(span)], axis=-1)
        x = tf.reshape(x, (-1, *blocks, 4 * channels * span))
        rest = (0, 2 * taps - size)
        k = tf.pad(kernel, ((0, 0), rest, rest, (0, 0), (0, 0)))
        k = tf.reshape(k, (span, taps, 2, taps, 2, channels, filters))
        k = tf.transpose(k, (1, 3, 0, 2, 4, 5, 6))
        k = tf.reshape(k, (taps, taps, 4 * channels * span, filters))
        y = tf.nn.conv2d(x, k, 1, "VALID")
        return y if flat else tf.reshape(y, (-1, frames, *out, filters))


@keras.utils.register_keras_serializable("vie_tf")
class Stem2D(_Stem, keras.layers.Conv2D):
    """A stem of single frames."""


@keras.utils.register_keras_serializable("vie_tf")
class Stem3D(_Stem, keras.layers.Conv3D):
    """A stem over several frames."""


def every(x, frames: int, stride: tuple):
    """Takes every n-th frame and pixel of folded maps; `stride` is (frames, pixels)."""
    time, space = stride
    if time > 1:
        return FoldTime()(Subsample((time, space, space))(UnfoldTime(frames)(x)))
    return Subsample((space, space))(x) if space > 1 else x


def _bn_relu(x, momentum: float, name: str):
    # Below 16 channels, a CPU's bfloat16 kernel takes 5 times as long as the float32 one.
    dtype = "float32" if x.shape[-1] < 16 and not device.on_gpu() else None
    x = keras.layers.BatchNormalization(momentum=momentum, epsilon=1e-5, dtype=dtype, name=name)(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _pool(x, frames: int, time: Time, name: str):
    if not time.as_space:
        return keras.layers.MaxPool2D(3, 2, padding="same", name=name)(x)
    pool = keras.layers.MaxPool3D(3, 2, padding="same", name=name)
    return FoldTime()(pool(UnfoldTime(frames)(x)))


def _sizes(depth: int, first: int, time: Time) -> list[tuple[int, int]]:
    """Returns kernels (frames, pixels) of a block's convolutions; the first 3x3 one is strided."""
    cube = (3, 3) if time.as_space else (1, 3)
    if depth >= BOTTLENECK_FROM:
        return [(first, 1), cube, (1, 1)]
    return [(max(first, cube[0]), 3), cube]


def resnet(
    clip,
    depth: int,
    bn_momentum: float,
    widths: tuple[int, ...] = STAGE_WIDTHS,
    time: Time = Time(),
    prefix: str = "",
    joint: Callable = lambda x, frames: x,
) -> dict[str, tf.Tensor]:
    """Builds the convolutional part, from pixels to the last feature map.

    Args:
        clip: Keras tensor [B, T, H, W, 3] of pixel values in 0..255; T is known.
        depth: 18, 34 or 50.
        bn_momentum: of the moving statistics of batch normalisation.
        widths: channels of the stages (of the inner convolutions if blocks are bottlenecks); the
            stem has those of the first.
        time: what happens along time.
        prefix: of the layers' names.
        joint: called with the folded maps [B * T, h, w, C] and their T after the first pooling and
            after each stage; the next layers take what it returns.

    Returns:
        The taps [B, T, h, w, C]: `encode_1` after the first pooling, `encode_2`, ... the normalised
        and rectified input of each residual block, the last one after the final ReLU.
    """
    frames, halve = clip.shape[1], 2 if time.as_space else 1
    x = FoldTime()(NormaliseRGB(name=f"{prefix}normalise_rgb")(clip))
    x = stem(x, frames, widths[0], time.stem, f"{prefix}stem")
    x = _pool(x, frames, time, f"{prefix}stem_pool")
    frames = -(-frames // halve)
    x = joint(x, frames)
    taps = [UnfoldTime(frames)(x)]
    for stage, (blocks, width) in enumerate(zip(BLOCKS_PER_STAGE[depth], widths)):
        sizes = _sizes(depth, time.first[stage], time)
        out = width * 4 if depth >= BOTTLENECK_FROM else width
        for block in range(blocks):
            name = f"{prefix}block{len(taps)}"
            stride = (halve, 2) if block == 0 and stage > 0 else (1, 1)
            y = _bn_relu(x, bn_momentum, f"{name}_bn1")
            taps.append(UnfoldTime(frames)(y))
            if block == 0:
                x = conv(y, frames, out, (1, 1), stride, f"{name}_projection")
            for i, size in enumerate(sizes):
                if i:
                    y = _bn_relu(y, bn_momentum, f"{name}_bn{i + 1}")
                last = i == len(sizes) - 1
                step = stride if i == len(sizes) - 2 else (1, 1)
                y = conv(y, frames, out if last else width, size, step, f"{name}_conv{i + 1}")
                frames = -(-frames // step[0])
            x = keras.layers.Add(name=name)([x, y])
        x = joint(x, frames)
    taps.append(UnfoldTime(frames)(_bn_relu(x, bn_momentum, f"{prefix}final_bn")))
    return {f"encode_{i + 1}": tap for i, tap in enumerate(taps)}


def last_tap(taps: dict[str, tf.Tensor]) -> tf.Tensor:
    """Returns the feature map after the final ReLU."""
    return taps[f"encode_{len(taps)}"]


def stage_taps(depth: int) -> dict[str, str]:
    """Returns taps by the paper's names: `conv1` is the first block's input, `conv5` the last map.

    `conv2` to `conv4` are the inputs of the second to fourth stage, after normalisation and ReLU.
    """
    before = [sum(BLOCKS_PER_STAGE[depth][:stage]) for stage in range(5)]
    return {f"conv{stage + 1}": f"encode_{blocks + 2}" for stage, blocks in enumerate(before)}
