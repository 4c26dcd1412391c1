"""Decoding of video files: PyAV, or tensorflow-io's FFmpeg op, behind one function.

The only module that imports tensorflow-io. Two back ends give the same frames for the same request:

* `pyav` seeks to the nearest preceding keyframe and decodes forward, so it reads only what is
  needed, and streams a long video in little memory.
* `tfio` (`tfio.experimental.ffmpeg.decode_video`) decodes a whole video in memory and gives no
  timestamps: those come from PyAV's demuxing. PyAV takes over for a video of more than `TFIO_BYTES`
  of pixels, for one that FFmpeg 4 cannot decode or counts differently, and for a width that is not
  a multiple of 16: there the op's colour conversion writes past the end of its rows, which corrupts
  the last columns and then the heap.

Frames are identified by their position on a constant-rate clock (25 frames/s by default), the same
in training from raw files as in preparation: position k shows the last frame whose timestamp,
rounded to the clock, is at most k. A still image is a video of one frame.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import av
import numpy as np

from vie_tf.data.image_file import is_image, read_image
from vie_tf.data.resampling import FPS, Clock, resample
from vie_tf.data.video_file import (
    DecodingError,
    Pixels,
    decoded,
    displayed_size,
    open_container,
    quarter_turns,
)
from vie_tf.errors import InputError

MIN_FRAMES = 3
TFIO_BYTES = 64 << 20  # the op needs three times as much
# glibc's mallopt: from this many bytes on, freed memory returns to the system: at the end of the
# heap, and if it was mapped separately.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = (-1, 64 << 20), (-3, 32 << 20)
# Containers whose packets carry presentation times that a seek can be checked against.
SEEKABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video file without decoding more than its first frame.

    Attributes:
        times: float64 [n], seconds from the first frame, increasing; one for each native frame.
        stamps: int64 [n], the container's presentation times, or empty if seeking is unsafe.
        keyframes: int64 [k], those of `stamps` at which decoding can start.
        height: pixels, as displayed.
        width: pixels, as displayed.
        quarter_turns: counter-clockwise quarter turns from the coded picture to the displayed one.
        one_size: whether no change of resolution in mid-stream was seen.
    """

    times: np.ndarray
    stamps: np.ndarray
    keyframes: np.ndarray
    height: int
    width: int
    quarter_turns: int
    one_size: bool

    def positions(self, fps: float = FPS) -> np.ndarray:
        """Returns the native frame shown at each position of a clock of `fps`: int64 [frames]."""
        return resample(self.times, fps)


@cache
def _keep_memory() -> None:
    """Lets a frame reuse the memory of the previous one.

    Otherwise the system reclaims and clears it, which takes half of the time.
    """
    with suppress(OSError, AttributeError):  # another system's C library
        for option in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            ctypes.CDLL(None).mallopt(*option)


def least_frames(path: str) -> int:
    """Returns how many frames a file must have to be usable."""
    return 1 if is_image(path) else MIN_FRAMES


def probe(path: str) -> VideoInfo:
    """Determines a video's clock and size by demuxing it and decoding its first frame.

    A file without reliable timestamps is decoded once from start to end instead.

    Raises:
        DecodingError: no such file, not a video, nothing that decodes, or fewer than 3 frames.
    """
    if is_image(path):
        height, width, _ = read_image(path).shape
        none = np.zeros(0, np.int64)
        return VideoInfo(np.zeros(1), none, none, height, width, 0, True)
    with open_container(path) as container:
        first = next(decoded(container), None)
        if first is None:
            raise DecodingError("no frame can be decoded: damaged or encrypted")
        one_size = True
        (height, width), turns, first_stamp = displayed_size(first), quarter_turns(first), first.pts
    with open_container(path) as container:
        stream = container.streams.video[0]
        clock = Clock(stream)
        stamps, keys, sound = _demux(container, first_stamp)
        if sound:
            times = [clock.seconds(stamp) for stamp in stamps]
    if not sound:
        stamps, keys, times = [], [], []
        with open_container(path) as container:
            for frame in decoded(container):
                times.append(clock.seconds(frame.pts, frame.dts))
                one_size = one_size and displayed_size(frame) == (height, width)
    if len(times) < MIN_FRAMES:
        raise DecodingError(f"fewer than {MIN_FRAMES} frames ({len(times)})")
    return VideoInfo(
        np.array(times),
        np.array(stamps, np.int64),
        np.array(keys, np.int64),
        height,
        width,
        turns,
        one_size,
    )


def stream(
    path: str, decoder: str, damage: Callable[[], Any], alive: Callable[[], Any]
) -> Iterator[tuple[float, tuple[int, int], Callable[[int, int], np.ndarray]]]:
    """Yields all native frames of a file in order, in little memory.

    Args:
        path: the file.
        decoder: 'pyav' or 'tfio', as returned by `choose_decoder`.
        damage: called once for each part that cannot be decoded.
        alive: called repeatedly during the work.

    Yields:
        Seconds from the first frame; height and width as displayed; and a function that makes the
        RGB pixels, rotation applied, at a given size: height, width -> uint8 [height, width, 3].
        It may raise DecodingError.

    Raises:
        DecodingError: the file cannot be opened.
    """
    _keep_memory()
    pixels = Pixels()
    if is_image(path):
        frame = av.VideoFrame.from_ndarray(read_image(path), "rgb24")
        yield 0.0, displayed_size(frame), partial(pixels, frame)
        return
    if decoder == "tfio":
        info = probe(path)
        video = _decode_tfio(path, info)
        if video is not None:
            for seconds, image in zip(info.times.tolist(), video):
                alive()
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
                yield seconds, displayed_size(frame), partial(pixels, frame)
            return
    with open_container(path) as container:
        clock = Clock(container.streams.video[0])
        for frame in decoded(container, damage, alive):
            seconds = clock.seconds(frame.pts, frame.dts)
            yield seconds, displayed_size(frame), partial(pixels, frame)


def _demux(
    container: av.container.InputContainer, first: int | None
) -> tuple[list[int], list[int], bool]:
    """Returns sorted stamps of packets and keyframes from `first` on, and if they are reliable."""
    stamps, keys = [], []
    try:
        for packet in container.demux(container.streams.video[0]):
            if packet.size:
                stamps.append(packet.pts)
                if packet.is_keyframe:
                    keys.append(packet.pts)
    except (av.error.FFmpegError, OSError, ValueError):
        pass  # cut off: what came before counts
    sound = (
        container.format.name in SEEKABLE
        and first is not None
        and None not in stamps
        and first in stamps
        and len(set(stamps)) == len(stamps)
    )
    if not sound:
        return [], [], False
    stamps = sorted(stamp for stamp in stamps if stamp >= first)
    return stamps, sorted(key for key in keys if key >= first), True


def read_frames(
    path: str, info: VideoInfo, numbers: np.ndarray, decoder: str = "pyav"
) -> np.ndarray:
    """Decodes chosen native frames.

    Args:
        path: the file.
        info: from `probe`.
        numbers: int64 [T], native frame numbers, in any order, repeats allowed.
        decoder: 'pyav' or 'tfio', as returned by `choose_decoder`.

    Returns:
        uint8 [T, height, width, 3], RGB, rotation applied. A frame too damaged to decode shows the
        previous one.

    Raises:
        DecodingError: nothing can be decoded.
    """
    _keep_memory()
    numbers = np.asarray(numbers, np.int64)
    if is_image(path):
        return np.stack([read_image(path)] * len(numbers))
    if decoder == "tfio":
        video = _decode_tfio(path, info)
        if video is not None:
            return video[numbers]
    frames = _read_by_seeking(path, info, numbers) if len(info.keyframes) else None
    if frames is None:
        frames = _read_in_order(path, info, numbers)
    return np.stack([frames[n] for n in numbers.tolist()])


def _read_by_seeking(
    path: str, info: VideoInfo, numbers: np.ndarray
) -> dict[int, np.ndarray] | None:
    """Decodes from the keyframe before the first wanted frame; None if a frame is missing."""
    wanted = {int(info.stamps[n]): int(n) for n in numbers}
    first, last = min(wanted), max(wanted)
    start = info.keyframes[max(np.searchsorted(info.keyframes, first, side="right") - 1, 0)]
    frames: dict[int, np.ndarray] = {}
    pixels = Pixels()
    with open_container(path) as container:
        if start > info.stamps[0]:
            codec = container.streams.video[0].codec_context
            if codec.name == "h264" and "444" in (codec.pix_fmt or ""):
                # Old x264 coded 4:4:4 wrongly. Only the start of a file tells that it is one.
                next(decoded(container), None)
            try:
                container.seek(int(start), stream=container.streams.video[0])
            except (av.error.FFmpegError, OSError, ValueError):
                return None
        arrived = False
        for frame in decoded(container, wanted=wanted):
            arrived = arrived or frame.pts == start
            if not arrived and frame.pts is not None and frame.pts > start:
                return None
            if arrived and frame.pts in wanted:
                frames[wanted[frame.pts]] = pixels(frame, info.height, info.width)
                if frame.pts == last:
                    break
    return frames if len(frames) == len(wanted) else None


def _read_in_order(path: str, info: VideoInfo, numbers: np.ndarray) -> dict[int, np.ndarray]:
    """Decodes from the start; a missing frame is replaced by the previous one."""
    left = sorted(set(numbers.tolist()))
    frames: dict[int, np.ndarray] = {}
    pixels, shown = Pixels(), None
    with open_container(path) as container:
        for count, frame in enumerate(decoded(container)):
            number = count
            if len(info.stamps) and frame.pts is not None:
                number = int(np.searchsorted(info.stamps, frame.pts, side="right")) - 1
            while left and shown is not None and left[0] < number:
                frames[left.pop(0)] = pixels(shown, info.height, info.width)
            if not left:
                return frames
            shown = frame
        if shown is None:
            raise DecodingError("no frame can be decoded any more")
        last = pixels(shown, info.height, info.width)
        frames.update((number, last) for number in left)
    return frames


@cache
def _tfio() -> tuple[Any, str]:
    """Returns tensorflow-io's FFmpeg module or None, and why."""
    if importlib.util.find_spec("tensorflow_io") is None:
        return None, "tensorflow-io, which is for TensorFlow 2.15, is not installed"
    try:
        # Cheap, and before TensorFlow: without these two the plug-in cannot load.
        ctypes.CDLL("libswscale.so.5")
        ctypes.CDLL("libavformat.so.58")
    except OSError:
        return None, "no FFmpeg 4 libraries for tensorflow-io"
    try:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # hides its start-up lines
        import tensorflow_io as tfio

        ctypes.CDLL("libavutil.so.56").av_log_set_level(-8)
        return tfio.experimental.ffmpeg, "tensorflow-io found FFmpeg 4"
    except (ImportError, NotImplementedError, OSError) as error:
        return None, f"tensorflow-io does not load: {error}".splitlines()[0]


@cache
def choose_decoder(decoder: str = "auto") -> str:
    """Resolves 'auto', 'tfio' or 'pyav' to 'tfio' or 'pyav'; logs the choice of 'auto' once.

    Raises:
        InputError: 'tfio' was requested and is not available.
    """
    if decoder == "pyav":
        return decoder
    module, reason = _tfio()
    if decoder == "auto":
        choice = "pyav" if module is None else "tfio"
        logging.getLogger(__name__).info("decoder: %s (%s)", choice, reason)
        return choice
    if module is None:
        raise InputError(f"--decoder=tfio: {reason}; use --decoder=pyav")
    return "tfio"


def _decode_tfio(path: str, info: VideoInfo) -> np.ndarray | None:
    """Decodes a whole video by tensorflow-io: uint8 [n, height, width, 3]; None if PyAV must."""
    coded_width = info.height if info.quarter_turns % 2 else info.width
    bytes_needed = len(info.times) * info.height * info.width * 3
    if bytes_needed > TFIO_BYTES or coded_width % 16 or not info.one_size:
        return None
    import tensorflow as tf

    try:
        with open(path, "rb") as file:
            video = _tfio()[0].decode_video(tf.constant(file.read()), 0).numpy()
    except (tf.errors.OpError, NotImplementedError, OSError):
        return None
    video = np.rot90(video, info.quarter_turns, axes=(1, 2))
    # It counts hidden or damaged frames differently: then the numbers would shift.
    return video if video.shape[:3] == (len(info.times), info.height, info.width) else None
