"""Converts a video file or still image to JPEG frames of one frame rate and short side."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from data_prep.pool import Lost
from vie_tf.data import decoding, files, prepared, resampling
from vie_tf.errors import InputError

_JPEG_LIMIT = 65500


@dataclass(frozen=True)
class Task:
    """How to convert one video: see the flags of data_prep.videos. `path` may be remote."""

    path: str
    spool: str
    fps: float
    short_side: int
    jpeg_quality: int
    decoder: str

    @property
    def local(self) -> str:
        """The file, or the path it is downloaded to, with its extension."""
        if not files.is_remote(self.path):
            return self.path
        return self.spool + os.path.splitext(self.path.partition("?")[0])[1]


@dataclass
class Standardised:
    """The outcome for one video; `records` bytes of TFRecords wait in the task's spool file."""

    status: str = "skipped"
    reason: str = ""
    records: int = 0
    offsets: list[int] = field(default_factory=list)
    height: int = 0
    width: int = 0
    source: dict[str, Any] = field(default_factory=dict)


class StorageError(OSError):
    """Writing failed, which says nothing about the video."""


def short_side_for(image_size: int) -> int:
    """Returns the even short side of frames that the paper's random crop never enlarges.

    It draws short sides below 320 for clips of 224 pixels, and proportionally for others.
    """
    return 2 * -(-image_size * 320 // (2 * 224))


def target_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Returns height and width with `short_side` as the shorter; the other is truncated, >= 1."""
    if height <= width:
        return short_side, max(1, width * short_side // height)
    return max(1, height * short_side // width), short_side


def standardise(task: Task, alive: Callable[[], Any]) -> Standardised | Lost | OSError | InputError:
    """Decodes, resamples, resizes and encodes one video into its spool file.

    Args:
        task: what to do.
        alive: called repeatedly during the work.

    Returns:
        The outcome; or `Lost`, if the source's storage failed, not the video; or the error, if it
        was the spool's disk, or if nothing here can read such an address.
    """
    result = Standardised()
    try:
        if task.local != task.path:
            _download(task, alive)
        try:
            # Without a buffer, since flushing it would fail again on closing.
            with open(task.spool, "wb", buffering=0) as spool:
                _write_frames(task, alive, result, spool)
        except decoding.DecodingError as error:
            result.reason = str(error)
        if result.reason:
            _read_through(task.local, alive)
    except (StorageError, InputError) as error:
        return error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
        if full or error.filename == task.spool:
            return StorageError(error.errno, error.strerror, task.spool)
        return Lost(f"cannot be read: {error.strerror or error}")
    except MemoryError:
        return Lost("not enough memory")
    finally:
        if task.local != task.path:
            files.remove(task.local)
    return result


def _download(task: Task, alive: Callable) -> None:
    """Downloads a remote file; the decoder reports one that does not exist."""
    try:
        with open(task.local, "wb") as file:
            files.copy_into(task.path, file, alive)
    except OSError as error:
        if error.filename != task.path:  # it could not be written
            raise StorageError(error.errno, error.strerror, task.local) from error
        if not isinstance(error, FileNotFoundError):
            raise
        files.remove(task.local)


def _read_through(path: str, alive: Callable) -> None:
    """Raises OSError if storage, not a file's content, keeps it from being read.

    FFmpeg does not distinguish the two.
    """
    with suppress(FileNotFoundError, NotADirectoryError, ValueError):
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb", buffering=0) as file:
                while file.read(1 << 20):
                    alive()


def _write_frames(task: Task, alive: Callable, result: Standardised, spool: io.FileIO):
    damaged = 0

    def damage() -> None:
        nonlocal damaged
        damaged += 1

    def emit(until: int) -> None:
        """Stores the current frame and gives it the positions up to `until`."""
        if until <= len(result.offsets):
            return
        if not result.height:
            height, width = size
            result.height, result.width = target_size(height, width, task.short_side)
            if max(result.height, result.width) > _JPEG_LIMIT:
                raise decoding.DecodingError(f"{width} x {height} is too elongated")
            result.source.update(height=height, width=width)
        image = Image.fromarray(show(result.height, result.width))
        jpeg = io.BytesIO()
        image.save(jpeg, "JPEG", quality=task.jpeg_quality)
        result.offsets += [result.records] * (until - len(result.offsets))
        try:
            result.records += len(record := prepared.record(jpeg.getvalue()))
            if spool.write(record) < len(record):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise StorageError(error.errno, error.strerror) from error

    count, seconds, size, show = 0, 0.0, (0, 0), None
    for seconds, next_size, pixels in decoding.stream(task.local, task.decoder, damage, alive):
        position = resampling.slot(seconds, task.fps)
        if show is not None:
            emit(position)
        size, show = next_size, pixels
        count += 1
    least = decoding.least_frames(task.local)
    if count < least:
        reason = f"fewer than {least} frames ({count})"
        if not count:
            reason = "no frame can be decoded: damaged or encrypted"
        raise decoding.DecodingError(reason)
    emit(resampling.clock_length(seconds, count, task.fps))
    if len(result.offsets) < least:
        raise decoding.DecodingError(
            f"fewer than {least} frames at {task.fps:g} fps ({len(result.offsets)})"
        )
    result.source.update(frames=count, bytes=os.path.getsize(task.local))
    if count > 1:  # an image has no clock
        result.source.update(
            fps=round((count - 1) / seconds, 3), seconds=round(seconds * count / (count - 1), 3)
        )
    result.status = "kept"
    result.reason = f"{damaged} parts cannot be decoded" if damaged else ""
