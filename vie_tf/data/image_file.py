"""One still image through Pillow: a video of one frame."""

from __future__ import annotations

import os
import struct
import warnings

import numpy as np
from PIL import Image, ImageOps

from vie_tf.data.video_file import DecodingError

# Odd metadata, and many pixels that still go: Pillow's lines about them do not name the file.
warnings.filterwarnings("ignore", module=r"PIL\.")
# What Pillow's parsers raise on damaged files.
_DAMAGE = (OSError, EOFError, ValueError, SyntaxError, ArithmeticError, LookupError, TypeError)
_DAMAGE += (struct.error,)
IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


def is_image(path: str) -> bool:
    """Whether a file is a still image, by its name."""
    return os.path.splitext(path)[1].lower() in IMAGES


def read_image(path: str) -> np.ndarray:
    """Pixels of an image file, whatever format its content has: uint8 [height, width, 3], RGB.

    Rotation metadata is applied, 16-bit grey keeps its upper 8 bits, transparent parts show white,
    of an animation the first frame is taken.

    Raises:
        DecodingError: with the reason, for what is no whole image.
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
    if image.mode.startswith("I"):  # which Pillow would clip at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
