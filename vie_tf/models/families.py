"""One way to build any family, by its name."""

from __future__ import annotations

from typing import Callable

from tensorflow import keras

from vie_tf.errors import InputError
from vie_tf.models.resnet import BLOCKS_PER_STAGE
from vie_tf.models.single import single

FAMILIES: dict[str, Callable[..., keras.Model]] = {"single": single}

# Below this the last feature map would be a fraction of one pixel wide.
SMALLEST_IMAGE = 32


def build(family: str, image_size: int | None = 224, **options) -> keras.Model:
    """Builds the network of a family; `options` are those of the family's own function.

    Raises:
        InputError: unknown family, or an image too small for five halvings.
    """
    if family not in FAMILIES:
        raise InputError(f"--family={family}: unknown; choose one of {', '.join(FAMILIES)}")
    if options.get("depth", 18) not in BLOCKS_PER_STAGE:
        raise InputError(
            f"--depth={options['depth']}: unknown; choose one of "
            f"{', '.join(map(str, BLOCKS_PER_STAGE))}"
        )
    if image_size is not None and image_size < SMALLEST_IMAGE:
        raise InputError(
            f"--image_size={image_size}: too small for the network; use {SMALLEST_IMAGE} or more"
        )
    return FAMILIES[family](image_size=image_size, **options)
