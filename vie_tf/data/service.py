"""tf.data service: machines that make the batches of one or many trainers.

    python -m vie_tf.data.service --port=5050                                   # a dispatcher
    python -m vie_tf.data.service --dispatcher=HOST:5050 --host=$(hostname)     # workers, many
    vie_tf --mode=pretrain --data_service=grpc://HOST:5050 ...                  # trainers, many

Workers read the prepared videos themselves, under the path that the trainer gives.
"""

from __future__ import annotations

import socket

from vie_tf.data import prepared
from vie_tf.data.files import is_remote
from vie_tf.errors import InputError

PROTOCOL = "grpc"
PATIENCE = 10.0  # seconds; TensorFlow itself would try for an hour


def check_service(address: str, data: str) -> None:
    """Checks that a trainer can use a service.

    Args:
        address: "grpc://HOST:PORT" of its dispatcher.
        data: the training videos.

    Raises:
        InputError: no service answers, or `data` is not prepared, or not in a file system.
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


if __name__ == "__main__":
    from vie_tf.commands.data_service import run

    run()
