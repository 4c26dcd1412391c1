"""Which frames make a clip: functions of a video's length and a seed (paper section 3, appendix A).

`models.families.FAMILIES` gives each family its strategy. The strategies are frozen values with the
same members: `frames`, how many make a clip; `shortest`, how many a video needs not to loop;
`random(n, seed)`, a training clip; `spaced(n, clips)`, the clips of a test; `consecutive(n)`, all
consecutive clips. Frame numbers count from 0 at 25 frames per second. Evenly spaced means in the
middles of equal parts, so a single test clip is the middle one.

Only a video shorter than one clip loops. With `legacy` the frames are those of the authors' loader,
with its faults: most families' training clips never reach a video's last frame, and their test
clips run over the end of ordinary videos and start again (SlowFast's fifth of ten seconds nearly
repeats the first). Where that loader replaces a short video by another, random one (Slow, TRN), the
video loops instead, since its label would be the other's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Union

import numpy as np
import tensorflow as tf

from vie_tf.data.videos import VideoSet
from vie_tf.errors import InputError

TEST_CLIPS = 5  # of a video, in the paper's tests


@dataclass(frozen=True)
class Window:
    """Frames at a constant interval.

    Attributes:
        frames: F, of a clip.
        interval: from one frame to the next; 1 takes every frame.
        loops: only for `legacy`: which of the authors' two loaders the family has, the one that
            loops short videos or the plain one.
        legacy: whether to follow the authors' rules.
    """

    frames: int
    interval: int = 1
    loops: bool = True
    legacy: bool = False

    @property
    def shortest(self) -> int:
        return (self.frames - 1) * self.interval + 1

    def starts(self, n: tf.Tensor) -> tf.Tensor:
        """Returns how many first frames a training clip may have, from 0 on.

        Args:
            n: int64 of any shape, frames of the videos, at least 1.

        Returns:
            int64 of that shape, at least 1. A video that loops may start anywhere.
        """
        if self.legacy and self.loops:
            # One interval too many is reserved for the clip, so the last frame is never reached.
            span = self.frames * self.interval
            return tf.where(n > span, n, n * (span // n + 1)) - span
        return _starts(n, self.shortest)

    def random(
        self, n: tf.Tensor, seed: tf.Tensor, within: tuple[tf.Tensor, tf.Tensor] | None = None
    ) -> tf.Tensor:
        """Draws a training clip, all starts being equally likely.

        Args:
            n: int64 [], frames of the video, at least 1.
            seed: int32 [2].
            within: first start and end of the starts that are allowed, int64 [] each, as in
                `VideoSet.starts`; None allows all.

        Returns:
            int64 [F], in 0..n-1.
        """
        first, end = (0, self.starts(n)) if within is None else within
        return self._clip(tf.random.stateless_uniform((), seed, first, end, tf.int64), n)

    def spaced(self, n: tf.Tensor, clips: int) -> tf.Tensor:
        """Returns the clips of a test, evenly spaced over all starts.

        Args:
            n: int64 [], frames of the video, at least 1.
            clips: how many, at least 1.

        Returns:
            int64 [clips, F], in 0..n-1.
        """
        group = tf.range(clips, dtype=tf.int64)
        if not self.legacy or self.frames == 1:  # for one frame, the authors do the same
            start = _middles(self.starts(n), clips)
        elif self.loops:
            # The video is treated as long enough for all clips in a row.
            span = self.frames * self.interval
            start = group * (tf.maximum(n, span * clips) - span) // max(clips - 1, 1)
        else:
            start = (group + 1) * self.starts(n) // (clips + 1)
        return self._clip(start[:, None], n)

    def consecutive(self, n: tf.Tensor) -> tf.Tensor:
        """Returns all consecutive clips without overlap; their number depends on the length.

        Args:
            n: int64 [], frames of the video, at least 1.

        Returns:
            int64 [G, F], in 0..n-1; G is at least 1. Frames left at the end are in no clip.
        """
        starts = _starts(n, self.shortest)  # all, also with `legacy`
        return self._clip(tf.range(0, starts, self.frames * self.interval)[:, None], n)

    def _clip(self, start: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
        return (start + self.interval * tf.range(self.frames, dtype=tf.int64)) % n


@dataclass(frozen=True)
class HalfSeconds:
    """One frame from each of F consecutive half seconds (paper's TRN bins).

    In a shorter video the half seconds are shortened, so that F still fit.

    Attributes:
        frames: F, of a clip.
        length: of half a second in frames, at 25 per second.
        legacy: the authors' rules; only the spacing of the test clips differs, as they round it
            down to whole half seconds, often to none.
    """

    frames: int
    length: int = 12
    legacy: bool = False

    @property
    def shortest(self) -> int:
        return self.frames

    def random(self, n: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws a training clip: any first half second, any frame in each.

        Args:
            n: int64 [], frames of the video, at least 1.
            seed: int32 [2].

        Returns:
            int64 [F], in 0..n-1; ascending unless n < F.
        """
        start_seed, frame_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
        start = tf.random.stateless_uniform((), start_seed, 0, self._starts(n), tf.int64)
        low, high = self._limits(start, n)
        place = tf.random.stateless_uniform((self.frames,), frame_seed, dtype=tf.float64)
        return low + tf.cast(place * tf.cast(high - low, tf.float64), tf.int64)

    def spaced(self, n: tf.Tensor, clips: int) -> tf.Tensor:
        """Returns the clips of a test: evenly spaced, the middle frame of each half second.

        Args:
            n: int64 [], frames of the video, at least 1.
            clips: how many, at least 1.

        Returns:
            int64 [clips, F], in 0..n-1.
        """
        starts = self._starts(n)
        if self.legacy:
            start = tf.range(1, clips + 1, dtype=tf.int64) * (starts // (clips + 1))
        else:
            start = _middles(starts, clips)
        low, high = self._limits(start[:, None], n)
        return (low + high) // 2

    def consecutive(self, n: tf.Tensor) -> tf.Tensor:
        """As `Window.consecutive`, with the middle frame of each half second."""
        low, high = self._limits(tf.range(0, self._starts(n), self.frames)[:, None], n)
        return (low + high) // 2

    def _bins(self, n: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns frames per bin (the last may have fewer), and how many bins the video has."""
        length = tf.clip_by_value(n // self.frames, 1, self.length)
        return length, (n + length - 1) // length

    def _starts(self, n: tf.Tensor) -> tf.Tensor:
        bins = self._bins(n)[1]
        return tf.where(bins >= self.frames, bins - self.frames + 1, bins)

    def _limits(self, start: tf.Tensor, n: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns first frame and end of F bins from `start` on."""
        length, bins = self._bins(n)
        low = (start + tf.range(self.frames, dtype=tf.int64)) % bins * length
        return low, tf.minimum(low + length, n)


@dataclass(frozen=True)
class Offsets:
    """Frames at uneven distances from the first: each training clip takes one of several patterns.

    Attributes:
        patterns: each of F offsets, ascending from 0; the last reaches farthest, and all test
            clips use it.
        legacy: has no effect.
    """

    patterns: tuple[tuple[int, ...], ...]
    legacy: bool = False

    @property
    def frames(self) -> int:
        return len(self.patterns[-1])

    @property
    def shortest(self) -> int:
        return self.patterns[-1][-1] + 1

    def random(self, n: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws a training clip: all patterns are equally likely, then all starts.

        Args:
            n: int64 [], frames of the video, at least 1.
            seed: int32 [2].

        Returns:
            int64 [F], in 0..n-1; ascending unless n < `shortest`.
        """
        pattern_seed, seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
        number = tf.random.stateless_uniform((), pattern_seed, 0, len(self.patterns), tf.int32)
        offsets = tf.constant(self.patterns, tf.int64)[number]
        starts = _starts(n, offsets[-1] + 1)
        return (tf.random.stateless_uniform((), seed, 0, starts, tf.int64) + offsets) % n

    def spaced(self, n: tf.Tensor, clips: int) -> tf.Tensor:
        """As `Window.spaced`."""
        return self._clips(_middles(_starts(n, self.shortest), clips), n)

    def consecutive(self, n: tf.Tensor) -> tf.Tensor:
        """As `Window.consecutive`."""
        return self._clips(tf.range(0, _starts(n, self.shortest), self.shortest), n)

    def _clips(self, start: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
        return (start[:, None] + tf.constant(self.patterns[-1], tf.int64)) % n


def _starts(n: tf.Tensor, shortest: int | tf.Tensor) -> tf.Tensor:
    """Returns how many first frames a clip may have; a video that loops may start anywhere."""
    return tf.where(n >= shortest, n - shortest + 1, n)


def _middles(positions: tf.Tensor, parts: int) -> tf.Tensor:
    """Returns the middles of equal parts of 0..positions-1, int64 [parts]."""
    return (2 * tf.range(parts, dtype=tf.int64) + 1) * positions // (2 * parts)


Sampling = Union[Window, HalfSeconds, Offsets]


def binned(videos: VideoSet, sampling: Sampling, bin_frames: int) -> VideoSet:
    """Cuts videos in time: one row for each bin of each video (paper's "2bin" and "5bin").

    Bins are ranges of a clip's first frame: bin q starts clips at q * bin_frames up to
    (q + 1) * bin_frames - 1, the last bin at what is left. An epoch is a pass over all rows; the
    authors' released loader visits only one bin of each video, which is not reproduced even with
    `legacy`.

    Args:
        videos: N of them.
        sampling: a Window, which determines where clips can start.
        bin_frames: at least 1; the paper's 5bin is 52 and 2bin 130, for clips of ten seconds.

    Returns:
        A set with `starts`, with the bins of a video in a row; ids and labels repeat.

    Raises:
        InputError: `sampling` is not a Window.
    """
    if not isinstance(sampling, Window):
        raise InputError("--bin_frames is for families whose frames have a constant interval")
    positions = sampling.starts(tf.constant(videos.frames, tf.int64)).numpy()
    bins = -(-positions // bin_frames)
    rows = np.repeat(np.arange(len(videos)), bins)
    number = np.arange(len(rows)) - np.repeat(np.cumsum(bins) - bins, bins)
    ends = np.minimum((number + 1) * bin_frames, positions[rows])
    return replace(videos.subset(rows), starts=np.stack([number * bin_frames, ends], axis=1))
