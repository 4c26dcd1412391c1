"""The exception for wrong input by the user."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path


class InputError(Exception):
    """Bad input. Its text is one line: what is wrong, where, and what to do.

    The commands print that line alone, without a traceback, and exit with status 1.
    """


def reason(error: Exception) -> str:
    """Returns TensorFlow's or the system's reason in one line, without TensorFlow's internals."""
    said = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
    return re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*?\]", "", said).splitlines()[0]


@contextlib.contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Adds the path to the system's errors: a write to an open file on a full disk has none."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
