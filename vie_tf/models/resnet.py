"""The pre-activation ResNet that every family is made of (He et al. 2016, as VIE uses it).

Differences from the ResNets in `keras.applications`, all of them needed to load or compare the
authors' weights: no normalisation after the stem, a projection in the first block of *every*
stage (the first one too), strided convolutions that pad both sides alike, and batch
normalisation with momentum 0.997.
"""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras

# Mean and standard deviation of ImageNet's RGB values, in 0..1.
RGB_MEAN = (0.485, 0.456, 0.406)
RGB_STD = (0.229, 0.224, 0.225)

BLOCKS_PER_STAGE = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
STAGE_WIDTHS = (64, 128, 256, 512)


@keras.utils.register_keras_serializable("vie_tf")
class NormaliseRGB(keras.layers.Layer):
    """Pixels in 0..255 to zero mean and unit variance, computed in float32."""

    def __init__(self, **kwargs):
        # float32 even under a mixed policy: bfloat16 would round x/255 to 8 bits.
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)

    def call(self, pixels: tf.Tensor) -> tf.Tensor:
        scale = tf.constant([1.0 / (255.0 * std) for std in RGB_STD])
        shift = tf.constant([mean / std for mean, std in zip(RGB_MEAN, RGB_STD)])
        # A whole row of pixels at a time: broadcasting over 3 channels alone is 5 times slower.
        shape = tf.shape(pixels)
        rows = tf.reshape(pixels, tf.concat([shape[:-2], [shape[-2] * 3]], axis=0))
        rows = rows * tf.tile(scale, shape[-2:-1]) - tf.tile(shift, shape[-2:-1])
        return tf.ensure_shape(tf.reshape(rows, shape), pixels.shape)


def _conv(x, filters: int, size: int, stride: int, name: str):
    if stride > 1 and size > 1:
        before = (size - 1) // 2
        x = keras.layers.ZeroPadding2D(((before, size - 1 - before),) * 2, name=f"{name}_pad")(x)
    return keras.layers.Conv2D(
        filters,
        size,
        stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(1.0, "fan_in"),
        name=name,
    )(x)


def _bn_relu(x, momentum: float, name: str):
    x = keras.layers.BatchNormalization(momentum=momentum, epsilon=1e-5, name=name)(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def resnet(images, depth: int, bn_momentum: float) -> dict[str, tf.Tensor]:
    """The convolutional part, from pixels to the last feature map.

    Args:
        images: Keras tensor [B, H, W, 3] of pixel values in 0..255.
        depth: 18 or 34.
        bn_momentum: of the moving statistics of batch normalisation.

    Returns:
        The taps, channels last: `encode_1` after the first pooling, `encode_2`.. the normalised
        and rectified input of each residual block, the last one after the final ReLU.
    """
    x = NormaliseRGB(name="normalise_rgb")(images)
    x = _conv(x, 64, 7, 2, "stem")
    x = keras.layers.MaxPool2D(3, 2, padding="same", name="stem_pool")(x)
    taps = {"encode_1": x}
    block = 0
    for stage, (blocks, width) in enumerate(zip(BLOCKS_PER_STAGE[depth], STAGE_WIDTHS)):
        for first in [True] + [False] * (blocks - 1):
            block += 1
            name = f"block{block}"
            stride = 2 if first and stage > 0 else 1
            activated = _bn_relu(x, bn_momentum, f"{name}_bn1")
            taps[f"encode_{block + 1}"] = activated
            shortcut = _conv(activated, width, 1, stride, f"{name}_projection") if first else x
            y = _conv(activated, width, 3, stride, f"{name}_conv1")
            y = _bn_relu(y, bn_momentum, f"{name}_bn2")
            y = _conv(y, width, 3, 1, f"{name}_conv2")
            x = keras.layers.Add(name=name)([shortcut, y])
    taps[f"encode_{block + 2}"] = _bn_relu(x, bn_momentum, "final_bn")
    return taps
