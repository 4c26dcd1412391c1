"""--mode=import_checkpoint: makes a run from a checkpoint of the authors' code."""

from __future__ import annotations

from pathlib import Path

from vie_tf.commands.flags import FLAGS, given, settings
from vie_tf.runs.import_checkpoint import import_checkpoint


def run() -> None:
    """Writes a run with the network, bank, labels, momentum and step of --checkpoint."""
    import_checkpoint(FLAGS.checkpoint, settings(), given(), Path(FLAGS.workdir))
