"""Every experiment's flagfile names flags that there are, and a network that can be built."""

from pathlib import Path

import numpy as np
import pytest
from absl import flags
from words import parse

from vie_tf.models import families
from vie_tf.training import pretrain

FOLDER = Path(__file__).parent.parent / "flags"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.flags")), ids=lambda path: path.stem)
def test_flagfile(path):
    parse("--data=videos", "--workdir=run", f"--flagfile={path}")
    given = flags.FLAGS
    assert path.read_text().startswith("# ")
    drops = [int(step) for step in given.lr_boundaries]
    assert drops == sorted(drops) and all(step < given.steps for step in drops)
    if path.stem != "demo":
        # Nothing of the paper's runs is left to the defaults of another number of videos.
        assert given.image_size == families.family_of(given.family).image_size
        chosen = pretrain.settle(given, 1)
        parse("--data=videos", "--workdir=run", f"--family={given.family}", "--precision=float32")
        assert chosen == pretrain.settle(flags.FLAGS, 240_000)
    side = families.SMALLEST_IMAGE
    network = families.build(given.family, side, given.depth, bn_momentum=given.bn_momentum)
    clip = np.zeros((2, *network.input.shape[1:]), np.uint8)
    assert network(clip)["embedding"].shape == (2, 128)
