"""The command `vie_tf`, the same as `python -m vie_tf.main`."""

from __future__ import annotations

import re
import sys

from absl import flags

from vie_tf import command, config
from vie_tf.errors import InputError


def main() -> None:
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


def run() -> None:
    """Entry point."""
    for flag in flags.FLAGS.flags_by_module_dict()[config.__name__]:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)  # for --help
    command.run("vie_tf", main, config.check_flags)


if __name__ == "__main__":
    run()
