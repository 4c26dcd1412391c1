"""--mode=pretrain and --mode=finetune: train a network."""

from __future__ import annotations

from pathlib import Path

from vie_tf.commands.flags import FLAGS, given, settings
from vie_tf.training.run import train_run


def run() -> None:
    """Trains a network, or resumes its training, and shows progress."""
    train_run(settings(), given(), Path(FLAGS.workdir))
