"""Every experiment's flagfile names flags that there are, and a network that can be built."""

import functools
from pathlib import Path

import pytest
from absl import flags
from words import parse

from vie_tf.config import WITH_BANK
from vie_tf.models import families
from vie_tf.objectives import pretext
from vie_tf.training import pretrain

# What the paper's runs by Local Aggregation differ in; an epoch is that of the videos there are.
OF_EXPERIMENT = {"neighbours", "clusters", "cluster_every"}
FOLDER = Path(__file__).parent.parent / "flags"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.flags")), ids=lambda path: path.stem)
def test_flagfile(path):
    parse("--data=videos", "--workdir=run", f"--flagfile={path}")
    given = flags.FLAGS
    assert path.read_text().startswith("# ")
    if given.mode != "pretrain":
        assert given.second_workdir or given.frames_of in families.FAMILIES
        return
    drops = [int(step) for step in given.lr_boundaries]
    phase = given.steps - (given.ir_steps or 0)
    assert drops == sorted(drops) and all(step < phase for step in drops)
    if path.stem != "demo":
        # Nothing of the paper's runs is left to the defaults of another number of videos.
        assert given.image_size == families.family_of(given.family).image_size
        chosen = pretrain.settle(given, 1)
        same = [f"--{name}={given[name].value}" for name in ("family", "loss", "augmentation")]
        parse("--data=videos", "--workdir=run", "--precision=float32", *same)
        papers = pretrain.settle(flags.FLAGS, 240_000)
        assert chosen.keys() == papers.keys()
        others = {"learning_rate"} if given.loss == "rotation" else set()  # 3DRotNet's is 0.1
        differ = {name for name in papers if chosen[name] != papers[name]}
        assert differ <= OF_EXPERIMENT | others
    side, loss = families.SMALLEST_IMAGE, given.loss if given.loss not in WITH_BANK else None
    pretext.check_family(given.loss, given.family)
    head, shape = {
        None: ("embedding", (None, 128)),
        "supervised": ("logits", (None, 7)),
        "order": ("logits", (None, 24, 12)),
        "rotation": ("logits", (None, 4)),
    }[loss]
    assert build(given.family, side, given.depth, loss)[head] == shape


@functools.cache
def build(family, side, depth, loss):
    """Shapes of a network's outputs; some flagfiles are of the same network."""
    return families.build(family, side, depth, **pretext.head(loss, 7)).output_shape


def test_every_family_has_a_flagfile():
    """To pre-train it; and so have the paper's supervised twins and Input-Single controls."""

    def named(pattern, flag):
        for path in FOLDER.glob(pattern):
            parse("--data=videos", "--workdir=run", f"--flagfile={path}")
            yield flags.FLAGS[flag].value

    pretexts = {*named("opn*.flags", "family"), *named("rotnet*.flags", "family")}
    assert {*named("vie_*_ir.flags", "family"), *pretexts} == set(families.FAMILIES)
    dynamic = {"resnet3d", "trn", "slow", "slowfast"}
    assert set(named("supervised_*.flags", "family")) == {"single", *dynamic}
    assert set(named("input_single_*.flags", "frames_of")) == dynamic
