"""The networks of the tests: all layers of the real ones, few of each, with few weights.

Most of what a test with a real ResNet-18 takes, in time and memory, is TensorFlow's tracing of each
of its layers. What the tests of a network's own size, depth or numbers take is a real one.
"""

import sys
from contextlib import contextmanager

from vie_tf.models import resnet

COMMAND = [sys.executable, __file__]  # the command in a process of its own, with small networks
BLOCKS = (2, 1, 1, 1)  # of a stage; there is one with a projection, and one without
WIDTHS = (16, 16, 16, 16)
_REAL = resnet.BLOCKS_PER_STAGE[18], resnet.resnet.__defaults__
assert _REAL[1][0] == resnet.STAGE_WIDTHS


def name():
    """Of the networks of depth 18 that this process builds."""
    return "small" if resnet.BLOCKS_PER_STAGE[18] == BLOCKS else "real"


def _set(blocks, defaults):
    resnet.BLOCKS_PER_STAGE[18], resnet.resnet.__defaults__ = blocks, defaults


def use():
    """From now on a network of depth 18, in this process, is a small one."""
    _set(BLOCKS, (WIDTHS, *_REAL[1][1:]))


@contextmanager
def real():
    """Networks as they are."""
    before = resnet.BLOCKS_PER_STAGE[18], resnet.resnet.__defaults__
    _set(*_REAL)
    yield
    _set(*before)


if __name__ == "__main__":
    use()
    from vie_tf.main import run

    run()
