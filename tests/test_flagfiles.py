"""Every experiment's flagfile says what it is, names flags that there are, and runs."""

import functools
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_networks
from absl import flags
from PIL import Image
from words import parse, vie_tf

from benchmarks import experiments
from benchmarks.experiments import FOLDER
from data_prep import moving_digits
from vie_tf.commands import flags as command_flags
from vie_tf.models import families
from vie_tf.objectives.registry import OBJECTIVES
from vie_tf.report import paper
from vie_tf.report.findings import Finding
from vie_tf.runs import results, workdir
from vie_tf.settings import text
from vie_tf.training.defaults import complete

# What the paper's runs by Local Aggregation differ in; an epoch is that of the videos there are.
OF_EXPERIMENT = {"neighbours", "clusters", "cluster_every"}
NAMES = [str(path.relative_to(FOLDER))[: -len(".flags")] for path in experiments.flagfiles()]
EXPERIMENTS = [name for name in NAMES if name != "demo"]
EVALUATED = [name for name in NAMES if "/" in name]


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    """A flagfile names others, that it shares flags with, from there."""
    monkeypatch.chdir(FOLDER.parent)


def read(name):
    """The flags of a flagfile, with a data set and a run where it has none."""
    parse("--data=videos", "--workdir=run", f"--flagfile=flags/{name}.flags")
    return flags.FLAGS


def completed(videos):
    return complete(command_flags.settings(), command_flags.given(), videos)[1]


def head(name):
    return experiments.head(FOLDER / f"{name}.flags")


@pytest.mark.parametrize("name", NAMES)
def test_flagfile(name, capsys):
    given = read(name)
    assert (FOLDER / f"{name}.flags").read_text().startswith("# ")
    assert "note" not in capsys.readouterr().err, "a drop of the rate that training never comes to"
    if given.mode != "pretrain":
        assert bool(given.lr_boundaries) != bool(given.lr_plateau)
        assert given.held_out and given.evaluate_every < given.steps, "no curve"
        assert given.workdir != "run" and "/" in name
        return
    drops = [int(step) for step in given.lr_boundaries]
    phase = given.steps - (given.ir_steps or 0)
    assert drops == sorted(drops) and all(step < phase for step in drops)
    assert given.loss != "supervised" or given.lr_plateau
    if name != "demo":
        # Nothing of the paper's runs is left to the defaults of another number of videos.
        assert given.image_size == families.family_of(given.family).image_size
        chosen = completed(1)
        same = ("family", "loss", "augmentation", "steps", "evaluate_every", "save_every")
        same = [f"--{x}={given[x].value}" for x in same if given[x].value is not None]
        parse("--data=videos", "--workdir=run", "--precision=float32", *same)
        papers = completed(240_000)
        assert chosen.keys() == papers.keys()
        others = {"learning_rate"} if given.loss == "rotation" else set()  # 3DRotNet's is 0.1
        differ = {name for name in papers if chosen[name] != papers[name]}
        assert differ <= OF_EXPERIMENT | others
    side, loss = families.SMALLEST_IMAGE, given.loss if not OBJECTIVES[given.loss].bank else None
    OBJECTIVES[given.loss]().check_family(given.family)
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
    return families.build(family, side, depth, **OBJECTIVES[loss or "ir"]().head(7)).output_shape


def test_every_family_has_a_flagfile():
    """To pre-train it; and so have the paper's supervised twins and Input-Single controls."""

    def named(pattern, flag):
        return {
            read(path.relative_to(FOLDER).with_suffix(""))[flag].value
            for path in FOLDER.glob(pattern)
        }

    pretexts = named("opn*.flags", "family") | named("rotnet*.flags", "family")
    assert named("vie_*_ir.flags", "family") | pretexts == set(families.FAMILIES)
    dynamic = {"resnet3d", "trn", "slow", "slowfast"}
    assert named("supervised_*.flags", "family") == {"single", *dynamic}
    assert named("table4/*.flags", "frames_of") == dynamic


def cells(name):
    """The cells that a flagfile's head names, each (table, row, column), and their numbers."""
    told = head(name)["Paper's top-1"]
    found = re.match(r"Tables? ([1-5 and]+), (.+), ([^,:]+): (an illegible|[\d./ ]+)", told)
    if not found:
        assert "none" in told or "of its read-outs" in told
        return
    numbers = found[4].strip().split(" / ")
    columns = [f"{found[3]} Conv{x}" for x in (3, 4, 5)] if len(numbers) > 1 else [found[3]]
    for table in found[1].split(" and "):
        for row in found[2].split(" and "):
            yield from (((table, row, x), number) for x, number in zip(columns, numbers))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_head(name):
    """Command, data, the paper's numbers and the estimate."""
    told = head(name)
    assert f"--flagfile=flags/{name}.flags" in told["command"]
    if "/" in name:  # all of it, but for where the data are
        assert re.fullmatch(r"vie_tf --flagfile=\S+ --data=\w+", told["command"])
    assert {"Data", "Paper's top-1", "Estimate"} <= told.keys()
    assert re.search(r"\d (hours|days), \d|minutes", told["Estimate"])
    given = read(name)
    needs = {given.start_from, given.second_workdir}
    needs |= {given.workdir} if given.mode == "readout" else set()
    assert {run for run in needs if run} == set(re.findall(r"runs/\w+", told["Data"]))
    for (table, _, _), _ in cells(name):
        assert f"table{table}" in name or "Super." in told["Paper's top-1"] or table == "3"


def test_each_cell_of_the_paper_has_one_flagfile():
    """All that are of a run of the paper's authors, each with the number that is printed there."""
    papers = {
        (table, row, column): number
        for table, rows in paper.numbers().items()
        for row, columns in rows.items()
        for column, number in columns.items()
        # The others are of other papers.
        if not re.search("AlexNet|C3D|3DRotNet|Puzzle", row)
    }
    papers[("2", *paper.UNREADABLE)] = "an illegible"
    found = [cell for name in EXPERIMENTS for cell in cells(name)]
    assert len(found) == len(papers) and dict(found) == papers


@pytest.mark.parametrize("name", [name for name in EVALUATED if name.startswith("table")])
def test_the_run_is_that_of_the_cell(name):
    """As --mode=report names it, and with the data and the augmentation of its column."""

    def kept(given):
        values = {
            name: text(value) for name, value in workdir.kept(command_flags.settings()).items()
        }
        return {name: value for name, value in values.items() if value}

    given = read(name)
    values = {"frames_of": given.frames_of, "augmentation": given.augmentation}
    if given.second_workdir:
        values["second_family"] = experiments.family(given.second_workdir)
    run = kept(given)
    family, data = experiments.network_of(given).split("+")[0], {}
    if given.mode == "readout":
        run = kept(read(Path(given.workdir).name))
        if before := run.get("start_from"):
            data["start"] = Path(before).name.split("_")[0]
    else:
        start = given.start_from and Path(given.start_from).name.split("_")[0]
        run, values["start"] = {**run, "family": family}, start or "scratch"
    row = paper.model(Finding(Path(name), run, data, "", values))
    for (_, named, column), _ in cells(name):
        assert row.lower() == named.lower()
        assert head(name)["Data"].split(",")[0].split("-")[0] in column
        if values.get("start"):
            way = {"multi_scale": "Multi-scale", "colour_noise": "Color-noise"}
            assert column.startswith(way[values["augmentation"]])


def test_the_tables_in_the_docs_are_those_of_the_heads(capsys):
    experiments.main()
    tables = capsys.readouterr().out
    assert tables.count(".flags` |") == len(NAMES)
    assert tables in (FOLDER.parent / "docs" / "experiments.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_estimate_is_that_of_the_arithmetic(name):
    told, given = head(name), read(name)
    if told["Estimate"] != "minutes":
        with small_networks.real():
            found = experiments.estimate(given, told["Data"].split(",")[0])
        assert told["Estimate"] == experiments.in_words(*found)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """CSVs of videos with and without a test split and of images, and from a family to its run."""
    folder = tmp_path_factory.mktemp("flagfiles")
    moving_digits.make(str(folder), seed=0, limit=40)
    split, whole, stills = (folder / f"{x}.csv" for x in ("videos", "train", "images"))
    # Training takes no time to evaluate where no video is held out.
    whole.write_text(split.read_text().replace(",test,", ",train,"))
    rows, random = ["path,label,split"], np.random.default_rng(0)
    for number in range(24):
        pixels = random.integers(256, size=(48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{number % 2},{'test' if number > 15 else 'train'}")
    stills.write_text("\n".join(rows))

    @functools.cache
    def untrained(family, loss, augmentation):
        place = folder / f"{family}_{loss}"
        words = (f"--family={family}", f"--loss={loss}", f"--augmentation={augmentation}")
        small = ("--image_size=32", "--steps=0", "--held_out=0", "--precision=float32")
        # Without a bank there is nothing to measure but by videos that are held out.
        data = whole if loss == "ir" else split
        vie_tf(f"--data={data}", f"--workdir={place}", *words, *small)
        return place

    def run(name):
        """Of the network of a flagfile; those that differ in their training are one."""
        given = read(name)
        loss = "ir" if OBJECTIVES[given.loss].bank else given.loss
        return untrained(given.family, loss, given.augmentation)

    return {"split": split, "whole": whole, "images": stills, "run": run}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A function from a run's folder to begin with, and flags, to where they ran, once for all."""

    @functools.cache
    def ran(begin, words):
        folder = tmp_path_factory.mktemp("run") / "run"
        if begin:
            shutil.copytree(begin, folder)
        vie_tf(*words, f"--workdir={folder}")
        return folder

    return ran


def small(name, made):
    """The run that a flagfile reads out, and its flags, with small sizes and two steps."""
    given = read(name)
    mode, loss, start, second, folder = (
        given[x].value for x in ("mode", "loss", "start_from", "second_workdir", "workdir")
    )
    data = "images" if "ImageNet" in head(name).get("Data", "") else "split"
    less = {"data": made["whole" if mode == "pretrain" else data], "clips": 1}
    if given.steps:
        less |= {"batch_size": 8, "steps": 2, "lr_boundaries": "", "evaluate_every": 2}
    if mode == "pretrain":
        less |= {"log_every": 1, "save_every": 2}
        less |= {} if given.lr_plateau else {"held_out": 0}
        less |= {"noise_samples": 8} if loss in ("ir", "vie") else {}
        less |= {"ir_steps": 1} if loss == "vie" else {}
        if loss in ("la", "vie"):
            less |= {"clusters": 2, "neighbours": 4, "cluster_every": 1}
        less |= {"subset": 0.5} if given.subset < 1 else {}
        less |= {"bin_frames": 10} if given.bin_frames else {}
    if given["image_size"].present:
        less["image_size"] = 32
    names = command_flags.names()
    own = {name: given[name].value for name in names if given[name].present} | less
    # Runs that it names; they take the flags for themselves.
    for flag, run in (("start_from", start), ("second_workdir", second)):
        if run:
            own[flag] = made["run"](Path(run).name)
    begin = made["run"](Path(folder).name) if mode == "readout" else None
    words = [f"--{name}={text(own[name])}" for name in own if name != "workdir"]
    return mode, begin, tuple(sorted(words))


# One of each kind; the others take a few minutes.
FAST = (
    *("table2/resnet18_vie_ucf101_color_noise", "table4/trn_input_single", "random"),
    *("table1/vie_single_imagenet", "supervised_single", "vie_single_2bin"),
)


@pytest.mark.parametrize(
    "name",
    [pytest.param(x, marks=() if x in FAST else pytest.mark.slow) for x in NAMES],
)
def test_two_steps(name, made, ran):
    """The whole command, small: as the flagfile says, but for the sizes and the number of steps."""
    mode, begin, words = small(name, made)
    folder = ran(begin, words)
    if mode == "pretrain":
        metrics = (folder / "metrics.jsonl").read_text()
        steps = int(dict(word.split("=", 1) for word in words)["--steps"])
        assert f'"step": {steps}' in metrics
        assert "NaN" not in metrics and ('"loss"' in metrics) == (steps > 0)
    else:
        assert mode in {line["kind"] for line in results.read(folder)}
