"""The command `vie_tf`, the same as `python -m vie_tf.main`."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

from vie_tf.commands import command, flags, rules, usage, version
from vie_tf.errors import InputError, reason


def main() -> None:
    """Runs the mode that --mode names."""
    # It takes seconds, so flags are checked first.
    command.import_tensorflow()
    import tensorflow as tf

    from vie_tf import device
    from vie_tf.data.videos import damage

    # Its warnings (slow callbacks, retracing, sums over replicas) are for those who write steps.
    tf.get_logger().setLevel("ERROR")
    if flags.FLAGS.mode != "report" and (said := device.gpus_in_words()):
        print(f"GPU: {said}", file=sys.stderr)
    if flags.FLAGS.mode in ("pretrain", "finetune", "look", "readout"):
        command.start_compiler()
    try:
        mode_module().run()
    except tf.errors.OpError as error:
        if (found := damage(error)) is not None:
            raise found from error
        if isinstance(error, tf.errors.PermissionDeniedError) or "No space left" in error.message:
            raise InputError(
                f"{reason(error)}; fix that, then run the same command again"
            ) from error
        if isinstance(error, tf.errors.ResourceExhaustedError):
            raise InputError(
                f"out of memory: {reason(error)}; give another --workdir and a lower --batch_size "
                "or --image_size, or for a large memory bank --bank_precision=bfloat16 or, on "
                "several GPUs, --shard_bank"
            ) from error
        raise


def mode_module() -> ModuleType:
    """Returns the module that implements --mode."""
    name = {"finetune": "pretrain"}.get(flags.FLAGS.mode, flags.FLAGS.mode)
    return importlib.import_module(f"vie_tf.commands.mode_{name}")


def run() -> None:
    """Entry point."""
    if usage.is_asked_for(sys.argv):
        print(usage.text(sys.argv), end="")
        return
    if "--version" in sys.argv[1:]:
        print(version.text(), end="")
        return
    try:
        command.run("vie_tf", main, rules.check)
    except SystemExit as end:
        if end.code:
            # Python's own exit waits for threads that decode videos, and they wait for Python.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code)


if __name__ == "__main__":
    run()
