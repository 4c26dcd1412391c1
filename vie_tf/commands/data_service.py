"""A tf.data service that makes batches for trainers: `python -m vie_tf.data.service`."""

from __future__ import annotations

import signal
import socket

from absl import flags

from vie_tf.commands import command
from vie_tf.data.service import PATIENCE
from vie_tf.errors import InputError


def main() -> None:
    """Runs a dispatcher, or a worker, until it is stopped."""
    command.import_tensorflow()
    import tensorflow as tf

    service, FLAGS = tf.data.experimental.service, flags.FLAGS
    for number in (signal.SIGINT, signal.SIGTERM):  # join() would not let Python's handlers run
        signal.signal(number, signal.SIG_DFL)
    if FLAGS.dispatcher:
        host, _, port = FLAGS.dispatcher.rpartition(":")
        try:
            socket.create_connection((host, int(port)), PATIENCE).close()
        except (OSError, ValueError) as error:
            raise InputError(f"--dispatcher={FLAGS.dispatcher}: no answer ({error})") from error
        config = service.WorkerConfig(
            dispatcher_address=FLAGS.dispatcher,
            worker_address=f"{FLAGS.host}:%port%",  # TensorFlow fills it in
            port=FLAGS.port,
        )
        server = service.WorkerServer(config)
        print(f"worker of {FLAGS.dispatcher}", flush=True)
    else:
        server = service.DispatchServer(service.DispatcherConfig(port=FLAGS.port))
        print(f"dispatcher: {server.target}", flush=True)
    server.join()


def run() -> None:
    """Entry point."""
    flags.DEFINE_integer("port", 0, "To listen at; 0 takes a free one.", lower_bound=0)
    flags.DEFINE_string("dispatcher", None, "HOST:PORT of the dispatcher that a worker works for.")
    flags.DEFINE_string("host", "localhost", "Name by which trainers reach a worker.")
    command.run("vie_tf.data.service", main)
