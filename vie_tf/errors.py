"""The one exception that means: the user's input is wrong."""

import re


class InputError(Exception):
    """Bad input. Its text is one line: what is wrong, where, and what to do.

    The commands print that line alone, without a traceback, and exit with status 1.
    """


def reason(error: Exception) -> str:
    """What TensorFlow or the system says went wrong, in a line, without what it says of itself."""
    said = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
    return re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*?\]", "", said).splitlines()[0]
