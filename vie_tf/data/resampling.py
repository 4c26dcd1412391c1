"""Converts timestamps, reliable or not, to positions on a constant-rate clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import av

FPS = 25.0
# A longer gap between two frames means a damaged clock, not a still picture.
MAX_GAP = 10.0


class Clock:
    """Turns presentation times into seconds from the first frame that always increase.

    Missing, repeated or backward times, and gaps of more than `MAX_GAP` seconds, become one
    ordinary step, so that a damaged clock cannot produce a million frames.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        rate = float(stream.average_rate or 0)
        self.step = 1 / rate if 1 <= rate <= 1000 else (1.0 if 0 < rate < 1 else 1 / FPS)
        self._base = float(stream.time_base or 0)
        self._last_raw: float | None = None
        self._last = -self.step
        self._newest: list[int | None] = [None, None]
        self._faults = [0, 0]

    def seconds(self, pts: int | None, dts: int | None = None) -> float:
        """Returns the seconds of the next frame in display order, from its two timestamps.

        If a container's presentation times go backwards (B-frames in AVI), the decoding times are
        used instead, by the rule of FFmpeg's `guess_correct_ts`.
        """
        for place, stamp in enumerate((pts, dts)):
            if stamp is not None:
                newest = self._newest[place]
                self._faults[place] += newest is not None and stamp <= newest
                self._newest[place] = stamp
        use_pts = pts is not None and (dts is None or self._faults[0] <= self._faults[1])
        stamp = pts if use_pts else dts
        raw = None if stamp is None else stamp * self._base
        gap = self.step if raw is None or self._last_raw is None else raw - self._last_raw
        self._last += gap if 0 < gap <= MAX_GAP else self.step
        if raw is not None:
            self._last_raw = raw
        elif self._last_raw is not None:
            self._last_raw += self.step
        return self._last


def slot(seconds: float, fps: float = FPS) -> int:
    """Returns the position on a clock of `fps` from which a frame at `seconds` is shown."""
    return int(seconds * fps + 0.5)


def clock_length(last: float, count: int, fps: float = FPS) -> int:
    """Returns the length, on a clock of `fps`, of `count` frames with the last at `last` seconds.

    The last frame is shown for the mean step, at most a second.
    """
    step = min(last / max(count - 1, 1), 1.0)
    return max(slot(last + step, fps), 1)


def resample(times: np.ndarray, fps: float = FPS) -> np.ndarray:
    """Returns the frame shown at each position of a clock of `fps`.

    Args:
        times: float64 [n], seconds of each frame from the first, increasing.
        fps: positions per second.

    Returns:
        int64 [frames], indices into `times`.
    """
    slots = np.array([slot(t, fps) for t in times])
    positions = np.arange(clock_length(times[-1], len(times), fps))
    return np.searchsorted(slots, positions, side="right") - 1
