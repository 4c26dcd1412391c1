"""--mode=readout: trains and tests linear read-outs of a frozen network's taps."""

from __future__ import annotations

from pathlib import Path

from vie_tf.commands.flags import FLAGS, given, settings
from vie_tf.commands.given_run import load
from vie_tf.device import strategy
from vie_tf.evaluation.readout import read_out
from vie_tf.settings import LEARNING


def run() -> None:
    """Prints the test accuracy of linear classifiers on taps of the frozen network."""
    with strategy().scope():
        of = load(own=LEARNING)
        read_out(
            of,
            Path(FLAGS.workdir),
            FLAGS.taps,
            settings(),
            given(),
            cached=FLAGS.cached,
            frames_of=FLAGS.frames_of,
        )
