"""Progress of long work: one line on standard error, with the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def duration(seconds: float) -> str:
    """Formats seconds for people: 1:02:03 or 2:03."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Line:
    """A line that is overwritten on a terminal; elsewhere it is printed every ten seconds."""

    def __init__(self):
        self._terminal = sys.stderr.isatty()
        self._shown = time.monotonic() - (0 if self._terminal else 5)
        self._open = False  # whether the cursor is at its end

    def show(self, text: str, last: bool = False) -> None:
        """Shows the progress; `last` is shown in any case."""
        now = time.monotonic()
        if now - self._shown < (0.2 if self._terminal else 10) and not last:
            return
        self._shown, self._open = now, self._terminal
        start, end = ("\r\x1b[2K", "") if self._terminal else ("", "\n")
        print(start + text, end=end, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Prints a permanent line in place of the progress line."""
        print(("\r\x1b[2K" if self._open else "") + text, file=sys.stderr, flush=True)
        self._open = False

    def close(self) -> None:
        """Ends the line, so that the next output is below it."""
        if self._open:
            print(file=sys.stderr, flush=True)
        self._open = False


def track(items: Iterable[Item], what: str, total: int, done: int = 0) -> Iterator[Item]:
    """Passes items on and shows how many are done; work of less than two seconds is silent.

    Args:
        items: the work left.
        what: its name in the line, such as 'videos'.
        total: the number of items, including those done before.
        done: the number done before.
    """
    line, began, first = Line(), time.monotonic(), done
    try:
        for item in items:
            yield item
            done += 1
            seconds = max(time.monotonic() - began, 1e-3)
            rate = (done - first) / seconds
            left = duration((total - done) / rate)
            if seconds > 2:
                line.show(f"{what} {done}/{total}  {rate:.1f}/s  ETA {left}", last=done == total)
    finally:
        line.close()
