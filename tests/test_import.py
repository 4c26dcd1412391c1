"""TensorFlow 1 checkpoints, written here under the authors' names, become runs."""

import json
import math
from pathlib import Path

import golden_rule
import numpy as np
import pytest
import tensorflow as tf
import tf1
from words import vie_tf

from data_prep import moving_digits
from vie_tf.errors import InputError
from vie_tf.models.original import original_names
from vie_tf.runs.trained import load_network

pytestmark = pytest.mark.usefixtures("real_networks")

VARIABLES = golden_rule.load("variables")[0]
SAME = ("fast", "trn_f4_tile", "trn_f4_mean", "single_frame_r34")
ROWS, STEP = 20, 1_450_000


def contents(name, seed=None):
    """All variables of a checkpoint of the authors' by name, a slot with each trained one."""
    facts = VARIABLES[name]
    while "variables" not in facts:
        facts = VARIABLES[facts["same_variables_as"]]
    seed = golden_rule.set_seed() if seed is None else seed
    values = {}
    for variable, shape, dtype, marks in facts["variables"]:
        shape = tuple(int(n) for n in shape.split("x")) if shape else ()
        if variable == "global_step":
            values[variable] = np.int64(STEP)
        elif dtype == "int64":
            values[variable] = np.arange(math.prod(shape)).reshape(shape)
        else:
            values[variable] = golden_rule.variable(variable, shape, seed)
        if "M" in marks:
            values[f"{variable}/Momentum"] = np.full(shape, 0.25, np.float32)
    return values


def write(folder: Path, values: dict) -> str:
    """Writes a checkpoint as TensorFlow 1 does, with its state file; returns the prefix."""
    prefix = str(folder / f"model.ckpt-{STEP}")
    tensors = [tf.constant(value) for value in values.values()]
    slices = [""] * len(tensors)
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=list(values), shape_and_slices=slices, tensors=tensors
    )
    state = f'model_checkpoint_path: "{prefix}"\nall_model_checkpoint_paths: "{prefix}"\n'
    (folder / "checkpoint").write_text(state)
    return prefix


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """The prefix of a checkpoint of VIE-Slow."""
    return write(tmp_path_factory.mktemp("slow"), contents("slow"))


def flags_of(prefix, workdir, **more):
    named = {"checkpoint": prefix, "workdir": workdir, **more}
    return ["--mode=import_checkpoint", *(f"--{name}={value}" for name, value in named.items())]


def saved(run: Path, name: str) -> np.ndarray:
    """A variable of a run's checkpoint."""
    newest = tf.train.latest_checkpoint(run / "checkpoints")
    return tf.train.load_variable(newest, f"{name}/.ATTRIBUTES/VARIABLE_VALUE")


# Not `fast`, which is `fast_a4` for more frames than the family takes, nor the twins of others, nor
# a second depth.
# A 2D network, a 3D one, two paths, and dense layers of their own; `pytest -m slow` has the others.
USUAL = ("single_frame", "3dresnet", "slowfast_a4", "trn_f4")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in USUAL else pytest.mark.slow)
        for name in tf1.NETWORKS
        if name not in SAME
    ],
)
def test_every_family(name, tmp_path, capsys):
    """The run's network gives the authors' embedding, and its bank theirs."""
    arguments = {"depth": 18, **tf1.NETWORKS[name]}
    values = contents(name)
    vie_tf(*flags_of(write(tmp_path, values), tmp_path / "run", image_size=64, **arguments))
    said = capsys.readouterr().out
    assert f"all {len(original_names(tf1.network(name)))} variables of the network" in said
    flags = (tmp_path / "run" / "flags.txt").read_text().splitlines()
    assert {f"--steps={STEP}", "--evaluate_every=5000"} <= set(flags)
    assert f"step {STEP}" in said and "not used: instance/cluster_labels\n" in said
    network, _ = load_network(tmp_path / "run")
    assert f"at step {STEP}" in capsys.readouterr().err
    facts, arrays = golden_rule.load(f"model_{name}")
    facts = facts["small_eval"]
    tf1.draw(network, facts)
    embedding = network(tf1.clips(facts["input"], network.input.shape[1]))["embedding"]
    tf1.close(embedding, arrays["small_eval/emb"], 1e-4)
    run = tmp_path / "run"
    np.testing.assert_array_equal(saved(run, "bank/rows"), values["instance/memory_bank"])
    np.testing.assert_array_equal(saved(run, "bank/labels"), values["instance/all_labels"])
    slot = saved(run, "optimizer/_variables/1")
    np.testing.assert_array_equal(slot, np.full_like(slot, 0.25))
    assert saved(run, "bank/visited").all() and saved(run, "optimizer/_iterations") == STEP


def test_an_imported_run_in_use(slow, tmp_path, capsys):
    """Every mode that takes a trained run takes it; training goes not on from it."""
    moving_digits.make(str(tmp_path / "digits"), seed=0, limit=12)
    data, run = f"--data={tmp_path / 'digits' / 'videos.csv'}", f"--workdir={tmp_path / 'run'}"
    vie_tf(*flags_of(Path(slow).parent, tmp_path / "run", family="slow", image_size=64))
    label_names = json.loads((tmp_path / "run" / "data.json").read_text())["label_names"]
    assert label_names == [str(n) for n in range(ROWS)]
    capsys.readouterr()
    vie_tf("--mode=knn", data, run, "--k=3", "--clips=1")
    assert '"top1"' in capsys.readouterr().out
    vie_tf("--mode=embed", data, run, "--clips=1", f"--out={tmp_path / 'e.npz'}")
    assert np.load(tmp_path / "e.npz")["embeddings"].shape == (12, 128)
    vie_tf("--mode=retrieve", data, run, "--clips=1", f"--out={tmp_path / 'r.png'}")
    assert (tmp_path / "r.png").exists()
    vie_tf("--mode=export", run, f"--out={tmp_path / 'model'}")
    facts, arrays = golden_rule.load("model_slow")
    model = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    embedding = model(clip=tf1.clips(facts["small_eval"]["input"], 4))["embedding"]
    tf1.close(embedding, arrays["small_eval/emb"], 1e-4)
    with pytest.raises(InputError, match="another data set .20 videos of the imported checkpoint"):
        vie_tf(data, run, "--family=slow", "--image_size=64", "--precision=float32")
    with pytest.raises(InputError, match="holds a run already"):
        vie_tf(*flags_of(slow, tmp_path / "run", family="slow"))


def test_clusters_come_along_with_local_aggregation(slow, tmp_path):
    labels = contents("slow")["instance/cluster_labels"]  # [clusterings, videos]
    words = dict(family="slow", image_size=64, loss="vie", ir_steps=1)
    several = ",".join(["2"] * len(labels))
    vie_tf(*flags_of(slow, tmp_path / "run", **words, clusters=several))
    np.testing.assert_array_equal(saved(tmp_path / "run", "clusters/labels"), labels.T)
    with pytest.raises(InputError, match=f"has {len(labels)} clusterings"):
        vie_tf(*flags_of(slow, tmp_path / "other", **words, clusters=several + ",2"))


def without(*names):
    return lambda values: {name: value for name, value in values.items() if name not in names}


def two_streams(values):
    slow = {k.replace("resnet_model", "resnet_model_slow"): v for k, v in values.items()}
    return {**contents("single_frame"), **slow}


@pytest.mark.parametrize(
    "change, flags, says",
    [
        (dict, {"family": "resnet3d"}, "a checkpoint of slow, not resnet3d: give --family=slow"),
        (dict, {"family": "slow", "depth": 34}, "of depth 34: give --family=slow --depth=18"),
        (dict, {"family": "slwo"}, "--family=slwo: unknown"),
        (dict, {"family": "slow", "loss": "supervised"}, "--loss=ir"),
        (dict, {"family": "slow", "out": "x"}, "--out is not for"),
        (without("instance/memory_bank"), {"family": "slow"}, "lacks instance/memory_bank"),
        (
            without("resnet_model/conv3d_3/kernel"),
            {"family": "slow"},
            "of no family here: resnet_model/conv3d_3/kernel missing",
        ),
        (two_streams, {"family": "slow"}, "is a two-stream checkpoint: import each stream"),
    ],
)
def test_other_checkpoints_are_refused_in_a_line(slow, tmp_path, capsys, change, flags, says):
    prefix = slow if change is dict else write(tmp_path, change(contents("slow")))
    refused(flags_of(prefix, tmp_path / "run", **flags), says, capsys)
    assert not (tmp_path / "run").exists()


def test_damaged_files_are_refused_in_a_line(slow, tmp_path, capsys):
    def refuse(prefix, says):
        refused(flags_of(prefix, tmp_path / "run", family="slow"), says, capsys)

    refuse("/nowhere/model.ckpt-1", "no checkpoint there")
    refuse(tmp_path, "no checkpoint there")
    for suffix in (".index", ".data-00000-of-00001"):
        whole = Path(slow + suffix).read_bytes()
        (tmp_path / f"cut{suffix}").write_bytes(whole)
    for suffix in (".data-00000-of-00001", ".index"):
        path = tmp_path / f"cut{suffix}"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        refuse(tmp_path / "cut", "cut cannot be read")
    (tmp_path / "cut.data-00000-of-00001").unlink()
    refuse(tmp_path / "cut", "cut cannot be read")


def refused(command, says, capsys):
    """Asserts that a command ends with one line that says it."""
    with pytest.raises((InputError, SystemExit)) as error:
        vie_tf(*command)
    line = capsys.readouterr().err if error.type is SystemExit else str(error.value)
    assert says in line and "\n" not in line.strip()
