"""Reads a video file with PyAV: opens it, yields frames in display order, makes pixels."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

MAX_PIXELS = 40_000_000  # a little more than 8K
# What FFmpeg also calls video, such as text and play lists, but is not used here.
NOT_VIDEO = ("tty", "hls", "concat", "dash", "lrc")
_PYAV = int(av.__version__.split(".")[0])
# PyAV 17 and later would start a thread per core for each frame.
_ONE_THREAD = {"threads": 1} if _PYAV >= 17 else {}
# PyAV up to 18 reads all tags at once: those in unknown encodings must not matter.
_ANY_TAGS = {"metadata_errors": "ignore"} if _PYAV < 19 else {}

# Damaged files are reported by this package, with their names; FFmpeg's own lines have none.
av.logging.set_level(av.logging.PANIC)


class DecodingError(ValueError):
    """A file has no usable frames; the message is the reason, without the file's name."""


def open_container(path: str) -> av.container.InputContainer:
    """Opens a local file with PyAV, one decoding thread, first video stream.

    Raises:
        DecodingError: with the reason, if it is not a video.
    """
    if not os.path.isfile(path):
        raise DecodingError("no such file")
    if not os.path.getsize(path):
        raise DecodingError("empty file")
    try:
        # A play list must not reach the network.
        container = av.open(
            os.path.abspath(path), options={"protocol_whitelist": "file"}, **_ANY_TAGS
        )
    except PermissionError as error:
        raise DecodingError("permission denied") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise DecodingError("FFmpeg cannot open it: damaged, or not a video") from error
    if container.format.name in NOT_VIDEO or not container.streams.video:
        container.close()
        raise DecodingError("no video stream")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        container.close()
        raise DecodingError("FFmpeg has no decoder for its codec")
    if stream.width * stream.height > MAX_PIXELS:
        container.close()
        raise DecodingError(f"frames of {stream.width} x {stream.height} pixels are too large")
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    return container


def decoded(
    container: av.container.InputContainer,
    damage: Callable[[], Any] = lambda: None,
    alive: Callable[[], Any] = lambda: None,
    wanted: Container[int] | None = None,
) -> Iterator[av.VideoFrame]:
    """Yields frames of the first video stream in display order; skips what cannot be decoded.

    Args:
        container: from `open_container`.
        damage: called once for each packet that cannot be decoded.
        alive: called for each packet.
        wanted: presentation times; frames at other times are left out if no other frame needs
            them (about half of an H.264 file's). None: all are wanted.
    """
    stream = container.streams.video[0]
    packets = container.demux(stream)
    while True:
        alive()
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.error.FFmpegError, OSError, ValueError):
            damage()
            return
        if wanted is not None:  # one thread decodes, so it applies to this packet
            stream.codec_context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
        try:
            yield from packet.decode()
        except (av.error.FFmpegError, OSError, ValueError):
            damage()


def quarter_turns(frame: av.VideoFrame) -> int:
    """Returns the counter-clockwise quarter turns, 0 to 3, that the file's metadata ask for."""
    return round(frame.rotation / 90) % 4


def displayed_size(frame: av.VideoFrame) -> tuple[int, int]:
    """Returns height and width after rotation."""
    turned = quarter_turns(frame) % 2
    return (frame.width, frame.height) if turned else (frame.height, frame.width)


class Pixels:
    """Converts decoded frames to RGB, at their own or another size, on the calling thread.

    Frames are resized by libswscale's bilinear filter, which antialiases as Pillow's does. Its
    result must be planar: packed RGB would have half the colour resolution, and planar RGB at the
    frame's own size lacks the last columns of some widths. Its set-up for one frame is kept for the
    next.
    """

    def __init__(self) -> None:
        self._scaled, self._packed = VideoReformatter(), VideoReformatter()

    def __call__(self, frame: av.VideoFrame, height: int, width: int) -> np.ndarray:
        """Returns pixels with the rotation applied: uint8 [height, width, 3].

        Raises:
            DecodingError: libswscale cannot do it.
        """
        turns = quarter_turns(frame)
        try:
            if displayed_size(frame) != (height, width):
                size = (height, width) if turns % 2 else (width, height)
                frame = self._scaled.reformat(frame, *size, "gbrp", **_ONE_THREAD)
            image = self._packed.reformat(frame, format="rgb24", **_ONE_THREAD).to_ndarray()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise DecodingError(f"its pixels cannot become RGB ({error})") from error
        return np.ascontiguousarray(np.rot90(image, turns))
