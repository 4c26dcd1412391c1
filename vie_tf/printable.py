"""Names of files as text that people read."""

from __future__ import annotations

import math


def printable(text: str) -> str:
    """Makes any file name printable in a line: no control characters, no lone surrogates."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def short(text: str, letters: int) -> str:
    """Cuts the middle out of a long name, since its end distinguishes files."""
    text = printable(text)
    if len(text) <= letters:
        return text
    tail = math.ceil(letters * 0.6)
    return text[: letters - tail - 1] + "\N{HORIZONTAL ELLIPSIS}" + text[-tail:]
