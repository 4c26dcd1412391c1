"""Small networks for tests: every kind of layer of the real ones, fewer of each, few weights.

A test with a real ResNet-18 spends most of its time and memory on TensorFlow's tracing of its
layers. Only tests of a network's own size, depth or numbers need a real one.
"""

import sys
from contextlib import contextmanager

from vie_tf.models import families, resnet

COMMAND = [sys.executable, __file__]  # runs vie_tf with small networks
# Blocks of each stage by depth: some with a projection, one without.
BLOCKS = {18: (2, 1, 1, 1), 34: (2, 2, 1, 1), 50: (2, 1, 1, 1)}
WIDTHS = (16, 16, 16, 16)
_REAL = dict(resnet.BLOCKS_PER_STAGE), resnet.resnet.__defaults__
assert _REAL[1][0] == resnet.STAGE_WIDTHS


def name():
    """Returns which networks this process builds."""
    return "small" if resnet.BLOCKS_PER_STAGE == BLOCKS else "real"


def distinct():
    """Returns families of different networks; others have those of one of them for other frames."""
    found = {}
    for family, kind in families.FAMILIES.items():
        network = kind.network
        options = str(getattr(network, "keywords", ""))
        key = getattr(network, "func", network), options, kind.sampling.frames
        found.setdefault(key, family)
    return list(found.values())


def _set(blocks, defaults):
    resnet.BLOCKS_PER_STAGE.update(blocks)
    resnet.resnet.__defaults__ = defaults


def use():
    """Makes the networks that this process builds small."""
    _set(BLOCKS, (WIDTHS, *_REAL[1][1:]))


@contextmanager
def real():
    """Builds real networks again."""
    before = dict(resnet.BLOCKS_PER_STAGE), resnet.resnet.__defaults__
    _set(*_REAL)
    try:
        yield
    finally:
        _set(*before)


if __name__ == "__main__":
    use()
    from vie_tf.main import run

    run()
