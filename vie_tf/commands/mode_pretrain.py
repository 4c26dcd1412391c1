"""--mode=pretrain and --mode=finetune: trains a network."""

from __future__ import annotations

from pathlib import Path

from vie_tf.commands.flags import FLAGS, given, settings
from vie_tf.training.run import train_run


def run() -> None:
    """Trains a network, or goes on with it, and shows how it goes."""
    train_run(settings(), given(), Path(FLAGS.workdir))
