"""One way to build any family, by its name."""

from __future__ import annotations

import dataclasses
from typing import Callable

from tensorflow import keras

from vie_tf.errors import InputError
from vie_tf.models import heads
from vie_tf.models.fast import fast
from vie_tf.models.relation import relation
from vie_tf.models.resnet import BLOCKS_PER_STAGE
from vie_tf.models.resnet3d import resnet3d
from vie_tf.models.single import single
from vie_tf.models.slow import slow
from vie_tf.models.slowfast import slowfast
from vie_tf.models.trn import trn


@dataclasses.dataclass(frozen=True)
class Family:
    """A kind of network and what it is made for.

    Attributes:
        network: from a clip, `depth` and `bn_momentum` to the taps and the pooled features.
        frames: of a clip.
        image_size: side of a clip in the paper's runs, pixels.
    """

    network: Callable
    frames: int
    image_size: int


FAMILIES = {
    "single": Family(single, frames=1, image_size=224),
    "resnet3d": Family(resnet3d, frames=16, image_size=112),
    "vanilla3d": Family(resnet3d, frames=16, image_size=224),
    "slow": Family(slow, frames=4, image_size=224),
    "fast": Family(fast, frames=16, image_size=224),
    "slowfast": Family(slowfast, frames=16, image_size=224),
    "trn": Family(trn, frames=4, image_size=224),
    "relation": Family(relation, frames=4, image_size=224),
}

# Below this the last feature map would be a fraction of one pixel wide.
SMALLEST_IMAGE = 32


def build(
    family: str,
    image_size: int | None = None,
    depth: int = 18,
    dimension: int = 128,
    num_classes: int | None = None,
    bn_momentum: float = 0.997,
    frames: int | None = None,
    **options,
) -> keras.Model:
    """Builds the network of a family.

    Args:
        family: a key of `FAMILIES`.
        image_size: height and width of a frame in pixels; None accepts any size.
        depth: 18, 34 or 50.
        dimension: of the embedding.
        num_classes: None, or of the supervised twin, which classifies instead of embedding.
        bn_momentum: of batch normalisation's moving statistics; 0.997 in the paper's runs.
        frames: of a clip; default the family's.
        **options: those of the family's own function, such as `mean` of `relation`.

    Returns:
        A model from clips [B, T, H, W, 3], pixel values in 0..255 of any number type, to a dict:
        `embedding` float32 [B, dimension] of unit norm (or `logits` float32 [B, num_classes]) and
        the taps `encode_1`.., channels last.

    Raises:
        InputError: unknown family or depth, an image too small for five halvings, or a number of
            frames that the family cannot take.
    """
    if family not in FAMILIES:
        raise InputError(f"--family={family}: unknown; choose one of {', '.join(FAMILIES)}")
    if depth not in BLOCKS_PER_STAGE:
        raise InputError(
            f"--depth={depth}: unknown; choose one of {', '.join(map(str, BLOCKS_PER_STAGE))}"
        )
    if image_size is not None and image_size < SMALLEST_IMAGE:
        raise InputError(
            f"--image_size={image_size}: too small for the network; use {SMALLEST_IMAGE} or more"
        )
    frames = FAMILIES[family].frames if frames is None else frames
    # Float input: Keras casts uint8 clips itself, and clips with colour noise are not whole.
    clip = keras.Input((frames, image_size, image_size, 3), dtype="float32", name="clip")
    taps, features = FAMILIES[family].network(clip, depth=depth, bn_momentum=bn_momentum, **options)
    if num_classes:
        head = {"logits": heads.logits(features, num_classes)}
    else:
        head = {"embedding": heads.embedding(features, dimension)}
    return keras.Model(clip, {**head, **taps}, name=family)
