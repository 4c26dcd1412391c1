"""The command `vie_tf`, the same as `python -m vie_tf.main`."""

from __future__ import annotations

import os
import re
import sys

from absl import app, flags

from vie_tf import config
from vie_tf.errors import InputError


def main(_) -> None:
    """Does what --mode says."""
    # TensorFlow takes seconds to import: flags are checked before.
    import tensorflow as tf

    from vie_tf import modes

    try:
        getattr(modes, flags.FLAGS.mode)(flags.FLAGS)
    except tf.errors.OpError as error:
        # A video that turned out to be damaged while it was read, inside the graph.
        damage = re.search(r"InputError: .*|damaged frame in prepared video[^\n]*", error.message)
        if damage is None:
            raise
        raise InputError(damage.group().replace("InputError: ", "")) from error


def parse(argv: list[str]) -> list[str]:
    """Reads the flags; one line and exit status 1 when they are wrong."""
    try:
        rest = flags.FLAGS(argv)
        if len(rest) > 1:
            raise InputError(f"unexpected argument {rest[1]}; flags look like --name=value")
        config.check_flags()
    except (flags.Error, InputError) as error:
        print("vie_tf:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)
    return rest


def run() -> None:
    """Entry point: one line and exit status 1 on bad input, 130 when interrupted."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app.run(main, flags_parser=parse)
    except InputError as error:
        print("vie_tf:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run()
