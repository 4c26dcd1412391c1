"""--mode=export: the network as a SavedModel."""

from __future__ import annotations

import tensorflow as tf
from absl import logging

from vie_tf.commands.flags import FLAGS
from vie_tf.commands.given_run import load
from vie_tf.errors import InputError, reason
from vie_tf.models import export as saved_model
from vie_tf.output import whole, writable


def run() -> None:
    """Writes the network as a SavedModel."""
    # TensorFlow's messages while it saves are about its internals.
    logging.set_verbosity(logging.ERROR)
    out = writable(FLAGS.out, "saved_model.pb")
    network = load(any_size=True).network
    try:
        with whole(out) as part:
            saved_model.export(network, str(part))
    except tf.errors.OpError as error:
        raise InputError(f"cannot write --out={out}: {reason(error)}; give another") from error
    print(f"SavedModel: {out}")
