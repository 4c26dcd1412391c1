"""VIE-Single: one RGB frame through a 2D ResNet."""

from __future__ import annotations

from tensorflow import keras

from vie_tf.models import heads, resnet


def single(
    image_size: int | None = 224,
    depth: int = 18,
    dimension: int = 128,
    bn_momentum: float = 0.997,
) -> keras.Model:
    """Builds VIE-Single (paper section 3, "Single-frame ResNets").

    Args:
        image_size: height and width of a frame in pixels; None accepts any size.
        depth: 18 or 34.
        dimension: of the embedding.
        bn_momentum: of batch normalisation's moving statistics; 0.997 in the paper's runs.

    Returns:
        A model from clips [B, 1, H, W, 3], pixel values in 0..255 of any number type, to a dict:
        `embedding` float32 [B, dimension] of unit norm and the taps `encode_1`.. [B, h, w, C].
    """
    # Float input: Keras casts uint8 clips itself, and clips with colour noise are not whole.
    clip = keras.Input((1, image_size, image_size, 3), dtype="float32", name="clip")
    frame = keras.layers.Lambda(lambda x: x[:, 0], name="frame")(clip)
    taps = resnet.resnet(frame, depth, bn_momentum)
    features = keras.layers.GlobalAveragePooling2D(name="pool", dtype="float32")(
        taps[f"encode_{len(taps)}"]
    )
    return keras.Model(
        clip, {"embedding": heads.embedding(features, dimension), **taps}, name="single"
    )
