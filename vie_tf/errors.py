"""The one exception that means: the user's input is wrong."""


class InputError(Exception):
    """Bad input. Its text is one line: what is wrong, where, and what to do.

    The commands print that line alone, without a traceback, and exit with status 1.
    """
