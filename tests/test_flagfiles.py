"""Every experiment's flagfile says what it is, names flags that there are, and runs."""

import functools
import re
import shutil
from pathlib import Path

import pytest
from absl import flags
from words import parse, vie_tf

from benchmarks import experiments
from data_prep import moving_digits
from vie_tf.config import WITH_BANK
from vie_tf.evaluation import results
from vie_tf.models import families
from vie_tf.objectives import pretext
from vie_tf.report import paper
from vie_tf.training import pretrain

# What the paper's runs by Local Aggregation differ in; an epoch is that of the videos there are.
OF_EXPERIMENT = {"neighbours", "clusters", "cluster_every"}
FOLDER = Path(__file__).parent.parent / "flags"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.flags")), ids=lambda path: path.stem)
def test_flagfile(path):
    parse("--data=videos", "--workdir=run", f"--flagfile={path}")
    given = flags.FLAGS
    assert path.read_text().startswith("# ")
    if given.mode == "knn":
        assert given.second_workdir or given.frames_of in families.FAMILIES
        return
    drops = [int(step) for step in given.lr_boundaries]
    if given.mode != "pretrain":
        assert all(step < given.steps for step in drops)
        return
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


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.flags")), ids=lambda path: path.stem)
def test_head(path):
    """Command, data, the paper's numbers and the estimate; the numbers are those of paper.csv."""
    if path.stem == "demo":
        return
    head = experiments.head(path)
    assert f"--flagfile=flags/{path.name}" in head["command"]
    assert {"Data", "Paper's top-1", "Estimate"} <= head.keys()
    printed = {
        number
        for table in paper.numbers().values()
        for row in table.values()
        for number in row.values()
    }
    found = re.findall(r"\d+\.\d+", head["Paper's top-1"])
    assert set(found) <= printed
    kinds = ("vie_", "input_", "opn", "rotnet3d")
    ours = path.stem.startswith(kinds) and "none" in head["Paper's top-1"]
    assert found or ours
    assert re.search(r"\d (hours|days), \d|minutes", head["Estimate"])


def test_the_table_in_the_docs_is_that_of_the_heads(capsys):
    experiments.main()
    table = capsys.readouterr().out
    assert table.count("\n") == 2 + len(list(FOLDER.glob("*.flags")))
    assert table in (FOLDER.parent / "docs" / "experiments.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["vie_single", "supervised_slow", "finetune_ucf101_slowfast"])
def test_the_estimate_is_that_of_the_arithmetic(stem):
    parse("--data=videos", "--workdir=run", f"--flagfile={FOLDER / stem}.flags")
    family = "slowfast" if "slowfast" in stem else flags.FLAGS.family
    estimate = experiments.in_words(*experiments.estimate(flags.FLAGS, family, "kinetics400"))
    assert experiments.head(FOLDER / f"{stem}.flags")["Estimate"] == estimate


def test_each_row_of_the_paper_has_a_flagfile():
    """By its numbers, which stand in the head of the flagfile that makes it."""
    heads = " ".join(path.read_text() for path in FOLDER.glob("*.flags"))
    for table, rows in paper.numbers().items():
        for row, columns in rows.items():
            reported = row.startswith(("AlexNet", "C3D")) or "3DRotNet" in row or "Puzzle" in row
            if not reported:  # of other papers
                missing = [number for number in columns.values() if number not in heads]
                assert not missing, (table, row, missing)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Videos, and a function from a family to an untrained run of it."""
    folder = tmp_path_factory.mktemp("flagfiles")
    moving_digits.make(str(folder / "digits"), seed=0, limit=90)
    data = folder / "digits" / "videos.csv"

    @functools.cache
    def run(family):
        place = folder / family
        words = (f"--family={family}", "--image_size=32", "--steps=0", "--precision=float32")
        vie_tf(f"--data={data}", f"--workdir={place}", *words)
        return place

    return data, run


# One of each kind; the others take minutes.
FAST = ("vie_single_30", "readout_imagenet", "finetune_ucf101_resnet18", "input_single_trn")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=() if path.stem in FAST else pytest.mark.slow)
        for path in sorted(FOLDER.glob("*.flags"))
    ],
)
def test_two_steps(path, made, tmp_path):
    """The whole command, small: as the flagfile says, but for the sizes and the number of steps."""
    data, run = made
    file = f"--flagfile={path}"
    parse("--data=videos", "--workdir=run", file)
    mode, loss, steps, start, second = (  # before the next command's flags take their place
        flags.FLAGS[name].value for name in "mode loss steps start_from second_workdir".split()
    )
    words = [f"--data={data}", f"--workdir={tmp_path / 'run'}", "--clips=1"]
    family_at = {"runs/vie_3dresnet": "resnet3d"}
    if second:
        words.append(f"--second_workdir={run(second.split('_')[-1])}")
    if start:
        family = family_at.get(start, start.split("_")[-1])
        words.append(f"--start_from={run(family)}")
    if mode in ("knn", "readout"):
        shutil.copytree(run("single"), tmp_path / "run")
    if mode == "knn":
        words.append("--k=5")
    elif steps:
        words += ["--batch_size=8", "--steps=2", "--lr_boundaries=", "--evaluate_every=2"]
    if mode == "pretrain":
        words += ["--image_size=32", "--log_every=1", "--save_every=2"]
        words += ["--noise_samples=8"] if loss in ("ir", "vie") else []
        words += ["--ir_steps=1"] if loss == "vie" else []
        if loss in ("la", "vie"):
            words += ["--clusters=2", "--neighbours=4", "--cluster_every=1"]
    elif mode == "finetune" and not start:
        words.append("--image_size=32")
    vie_tf(file, *words)
    if mode == "pretrain":
        metrics = (tmp_path / "run" / "metrics.jsonl").read_text()
        assert f'"step": {min(steps, 2)}' in metrics
        assert "NaN" not in metrics and ('"loss"' in metrics) == (steps > 0)
    else:
        kinds = {line["kind"] for line in results.read(tmp_path / "run")}
        assert mode in kinds
