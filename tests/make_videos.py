"""Small real videos whose frames say which they are."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np

RED = (200, 30, 30)


def picture(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frame `number` (below 256): red top left quarter, and the number in bits below."""
    image = np.full((height, width, 3), 90, np.uint8)
    image[: height // 2, : width // 2] = RED
    for bit in range(8):
        edge = slice(bit * width // 8, (bit + 1) * width // 8)
        image[2 * height // 3 :, edge] = 235 if number >> bit & 1 else 20
    return image


def number_of(image: np.ndarray) -> int:
    """The number that `picture` wrote into an image, at any size."""
    height, width = image.shape[:2]
    row = image[5 * height // 6].mean(-1)
    return sum(int(row[(2 * bit + 1) * width // 16] > 127) << bit for bit in range(8))


def write_video(path, frames=30, height=48, width=64, codec="libx264", times=None, rate=25, gop=12):
    """Writes a video of `picture`s; `times` are seconds of each frame (default: regular)."""
    base = Fraction(1, 1000) if times is not None else Fraction(1, rate)
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = base
        stream.codec_context.gop_size = gop
        if codec == "libvpx-vp9":
            stream.options = {"deadline": "realtime", "cpu-used": "8", "b": "500k"}
        elif codec == "libx264":
            stream.options = {"preset": "ultrafast", "crf": "18", "bf": "2"}
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, height, width), format="rgb24")
            frame.time_base = base
            frame.pts = number if times is None else round(times[number] * 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return str(path)


def rotate(path):
    """Sets an MP4's display matrix to a quarter turn clockwise."""
    data = bytearray(open(path, "rb").read())
    matrix = data.index(b"tkhd") + 44
    assert data[matrix : matrix + 4] == struct.pack(">I", 0x10000)
    one, minus = 0x10000, 0xFFFF0000
    data[matrix : matrix + 36] = struct.pack(">9I", 0, one, 0, minus, 0, 0, 0, 0, 0x40000000)
    open(path, "wb").write(data)
    return path
