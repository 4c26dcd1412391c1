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
from vie_tf import config, workdir
from vie_tf.config import WITH_BANK
from vie_tf.evaluation import results
from vie_tf.models import families
from vie_tf.objectives import pretext
from vie_tf.report import paper
from vie_tf.training import settings

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
        chosen = settings.settle(given, 1)
        same = [f"--{name}={given[name].value}" for name in ("family", "loss", "augmentation")]
        parse("--data=videos", "--workdir=run", "--precision=float32", *same)
        papers = settings.settle(flags.FLAGS, 240_000)
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
    """CSVs of videos with and without a test split, and a function from a family to its run."""
    folder = tmp_path_factory.mktemp("flagfiles")
    moving_digits.make(str(folder), seed=0, limit=40)
    split, whole = folder / "videos.csv", folder / "train.csv"
    # Training takes no time to evaluate where no video is held out.
    whole.write_text(split.read_text().replace(",test,", ",train,"))

    @functools.cache
    def run(family):
        place = folder / family
        words = (f"--family={family}", "--image_size=32", "--steps=0", "--held_out=0")
        vie_tf(f"--data={whole}", f"--workdir={place}", *words, "--precision=float32")
        return place

    return split, whole, run


@pytest.fixture(scope="module")
def ran(made, tmp_path_factory):
    """A function from a mode and its flags to the folder in which they ran, once for all."""

    @functools.cache
    def ran(mode, words):
        folder = tmp_path_factory.mktemp("run") / "run"
        if mode in ("knn", "readout"):
            shutil.copytree(made[2]("single"), folder)
        vie_tf(*words, f"--workdir={folder}")
        return folder

    return ran


def small(path, made):
    """The mode of a flagfile, and its flags, with sizes and a number of steps that are small."""
    split, whole, run = made
    parse("--data=videos", f"--flagfile={path}", "--workdir=run")
    given = flags.FLAGS
    mode, loss, start, second = (
        given[name].value for name in ("mode", "loss", "start_from", "second_workdir")
    )
    less = {"data": whole if mode == "pretrain" else split, "clips": 1, "workdir": None}
    if mode == "knn":
        less["k"] = 5
    elif given.steps:
        less |= {"batch_size": 8, "steps": 2, "lr_boundaries": "", "evaluate_every": 2}
    if mode == "pretrain":
        less |= {"log_every": 1, "save_every": 2, "held_out": 0}
        less |= {"noise_samples": 8} if loss in ("ir", "vie") else {}
        less |= {"ir_steps": 1} if loss == "vie" else {}
        if loss in ("la", "vie"):
            less |= {"clusters": 2, "neighbours": 4, "cluster_every": 1}
        less |= {"subset": 0.5} if given.subset < 1 else {}
        less |= {"bin_frames": 10} if given.bin_frames else {}
    if mode == "pretrain" or mode == "finetune" and not start:
        less["image_size"] = 32
    names = {flag.name for flag in given.flags_by_module_dict()[config.__name__]}
    own = {name: given[name].value for name in names if given[name].present} | less
    # Runs of the families that it names; they take the flags for themselves.
    for name, of in (("start_from", start), ("second_workdir", second)):
        if of:
            own[name] = run({"runs/vie_3dresnet": "resnet3d"}.get(of, of.split("_")[-1]))
    words = [f"--{name}={workdir.text(own[name])}" for name in own if name != "workdir"]
    return mode, tuple(sorted(words))


# One of each kind; the others take a few minutes.
FAST = (
    *("finetune_ucf101_resnet18", "input_single_trn", "random", "readout_imagenet"),
    *("supervised_single", "vie_single_2bin", "vie_single_30"),
)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=() if path.stem in FAST else pytest.mark.slow)
        for path in sorted(FOLDER.glob("*.flags"))
    ],
)
def test_two_steps(path, made, ran):
    """The whole command, small: as the flagfile says, but for the sizes and the number of steps."""
    mode, words = small(path, made)
    folder = ran(mode, words)
    if mode == "pretrain":
        metrics = (folder / "metrics.jsonl").read_text()
        steps = int(dict(word.split("=", 1) for word in words)["--steps"])
        assert f'"step": {steps}' in metrics
        assert "NaN" not in metrics and ('"loss"' in metrics) == (steps > 0)
    else:
        assert mode in {line["kind"] for line in results.read(folder)}
