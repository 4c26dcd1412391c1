"""tf.data service: machines that make the batches of one or many trainers.

    python -m vie_tf.data.service --port=5050                                   # a dispatcher
    python -m vie_tf.data.service --dispatcher=HOST:5050 --host=$(hostname)     # workers, many
    vie_tf --mode=pretrain --data_service=grpc://HOST:5050 ...                  # trainers, many

Workers read the prepared videos themselves, under the path that the trainer gives.
"""

from __future__ import annotations

import signal
import socket

from absl import flags

from vie_tf import command
from vie_tf.data import prepared
from vie_tf.data.files import is_remote
from vie_tf.errors import InputError

PROTOCOL = "grpc"
PATIENCE = 10.0  # seconds; TensorFlow itself would try for an hour


def check_service(address: str, data: str) -> None:
    """Checks that a trainer can use a service.

    Args:
        address: "grpc://HOST:PORT" of its dispatcher.
        data: what is trained on.

    Raises:
        InputError: no service there, or `data` is not prepared, or not in a file system.
    """
    if is_remote(data) or not prepared.is_prepared(data):
        raise InputError(
            f"--data_service: {data} is not prepared, or a web address; workers read prepared "
            "videos from a folder: run data_prep.videos"
        )
    protocol, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    if protocol != PROTOCOL or not host or not port.isdigit():
        raise InputError(f"--data_service={address}: give it as {PROTOCOL}://HOST:PORT")
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except OSError as error:
        raise InputError(
            f"--data_service={address}: no answer ({error}); start it with "
            f"python -m vie_tf.data.service --port={port}"
        ) from error


def main() -> None:
    """A dispatcher, or a worker, until it is stopped."""
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


if __name__ == "__main__":
    run()
