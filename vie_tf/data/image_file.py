"""Reads a still image with Pillow, as a video of one frame."""

from __future__ import annotations

import os
import struct
import warnings

import numpy as np
from PIL import Image, ImageOps

from vie_tf.data.video_file import DecodingError

# Pillow warns of odd metadata and of many, yet acceptable, pixels without naming the file.
warnings.filterwarnings("ignore", module=r"PIL\.")
# What Pillow's parsers raise on damaged files.
_DAMAGE = (OSError, EOFError, ValueError, SyntaxError, ArithmeticError, LookupError, TypeError)
_DAMAGE += (struct.error,)
IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


def is_image(path: str) -> bool:
    """Returns whether a file is a still image, by its name."""
    return os.path.splitext(path)[1].lower() in IMAGES


def read_image(path: str) -> np.ndarray:
    """Reads the pixels of an image file of any format: uint8 [height, width, 3], RGB.

    Rotation metadata is applied, 16-bit grey keeps its upper 8 bits, transparent parts become
    white, and the first frame of an animation is taken.

    Raises:
        DecodingError: with the reason, if it is not a complete image.
    """
    if not os.path.isfile(path):
        raise DecodingError("no such file")
    if not os.path.getsize(path):
        raise DecodingError("empty file")
    try:
        with Image.open(path) as image:
            return np.asarray(_rgb(ImageOps.exif_transpose(image)))
    except PermissionError as error:
        raise DecodingError("permission denied") from error
    except _DAMAGE as error:
        raise DecodingError("Pillow cannot open it: damaged, or not an image") from error
    except Image.DecompressionBombError as error:
        raise DecodingError("too many pixels") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # Pillow would clip it at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
