"""Bad input to the command: one line that says what is wrong, and nothing lost."""

import shutil
import subprocess
import sys

import pytest
import tensorflow as tf
from words import TRAIN, parse, vie_tf

from vie_tf.commands import rules, usage
from vie_tf.commands.flags import FLAGS, MODES
from vie_tf.errors import InputError
from vie_tf.models import families
from vie_tf.runs import workdir
from vie_tf.runs.trained import load_network
from vie_tf.training.watch import all_finite


@pytest.mark.parametrize(
    "words, late",
    [
        ("--steps=90 --lr_boundaries=50,89", ""),
        ("--steps=90 --lr_boundaries=50,90,95", "90, 95"),
        ("--mode=finetune --steps=90 --lr_boundaries=100", "100"),
        ("--mode=readout --steps=90 --lr_boundaries=100", "100"),
        ("--loss=vie --ir_steps=40 --steps=90 --lr_boundaries=49", ""),
        ("--loss=vie --ir_steps=40 --steps=90 --lr_boundaries=50", "50"),
        ("--steps=0 --lr_boundaries=50", ""),  # an untrained network
        ("--mode=knn --steps=40 --lr_boundaries=50", ""),
    ],
)
def test_drops_of_the_rate_behind_the_last_step_are_told(words, late, capsys):
    parse("--data=x", "--workdir=y", *words.split())
    said = capsys.readouterr().err
    assert said.count("\n") == bool(late)
    assert not late or f"note: the rate does not drop after {late}: " in said


@pytest.mark.parametrize(
    "words, says",
    [
        (["--mode=train"], "mode"),
        (["--no_such_flag=1"], "no_such_flag"),
        (["--mode=knn"], "needs --data"),
        (["--data=x", "--workdir=y", "--deterministic", "--xla"], "do not go together"),
        (["stray"], "unexpected argument"),
        (["--mode=export", "--workdir={run}", "--out=x", "--query=y"], "--query is for"),
        (["--mode=knn", "--data={data}", "--workdir={run}", "--k=500"], "k is 500"),
        (["--mode=knn", "--data={data}", "--workdir=/nowhere"], "holds no run"),
        (["--mode=knn", "--data=/nowhere", "--workdir={run}"], "no such folder"),
        (["--mode=knn", "--data={data}", "--workdir={run}", "--image_size=64"], "trained with"),
        (["--mode=export", "--workdir={run}", "--out={new}", "--seed=4"], "trained with --seed=3"),
        (["--mode=export", "--workdir={run}", "--out=/proc/x"], "cannot write --out=/proc/x"),
        (["--mode=export", "--workdir={run}", "--out={data}"], "is a file"),
        (["--mode=embed", "--data={data}", "--workdir={run}", "--out={run}"], "is a folder"),
        (
            ["--mode=retrieve", "--data={data}", "--workdir={run}", "--out=/proc/x/y.png"],
            "cannot write --out",
        ),
        (["--data={data}", "--workdir={new}", "--temperature=0.001"], "temperature"),
        (["--data={data}", "--workdir={new}", "--lr_boundaries=9,5"], "ascending"),
        (["--loss=supervised", "--data=x", "--workdir=y", "--temperature=1"], "not --loss=super"),
        (
            ["--data={data}", "--workdir={new}", "--neighbours=5"],
            "for --loss=la or vie, not --loss=ir",
        ),
        (["--data={data}", "--workdir={new}", "--loss=la", "--clusters=0"], "from 1 on"),
        (["--data={data}", "--workdir={new}", "--loss=la", "--clusters="], "from 1 on"),
        (["--data={data}", "--workdir={new}", "--loss=la", "--steps=2", *TRAIN], "fills the bank"),
        (["--data={data}", "--workdir={new}", "--loss=vie", "--steps=5"], "leave none to LA"),
        (["--data={data}", "--workdir={new}", "--loss=la", "--cluster_lag=9"], "must be below"),
        (["--mode=knn", "--data={data}", "--workdir={run}", "--out=x"], "--out is not for"),
        (["--mode=export", "--workdir={run}", "--out={home}"], "holds other files"),
        (["--mode=export", "--workdir={run}", "--out={new}", "--frames_of=x"], "--frames_of=x"),
        (["--mode=export", "--workdir={broken}", "--out={new}"], "damaged"),
        (["--data={data}", "--workdir={new}", "--save_every=0"], "save_every"),
        (["--data={data}", "--workdir={run}", "--steps=6", *TRAIN, "--seed=4"], "--seed=3"),
        (["--data={other}", "--workdir={run}", "--steps=6", *TRAIN], "another data set"),
        (["--data={data}", "--workdir={run}", "--steps=3", *TRAIN], "past --steps=3"),
        (["--data={data}", "--workdir=/proc/x", *TRAIN], "cannot write"),
        (["--data={data}", "--workdir={new}", "--image_size=16"], "too small"),
        (["--data={data}", "--workdir={new}", "--colour_noise=1,2"], "five numbers"),
        (["--data={data}", "--workdir={new}", "--colour_noise="], "five numbers"),
        (["--data={data}", "--workdir={new}", "--augmentation=x"], "multi_scale"),
        (["--data={empty}", "--workdir={new}"], "no videos"),
        (["--data={data}", "--workdir={new}", "--family=slwo"], "--family=slwo: unknown"),
        (["--data={data}", "--workdir={new}", "--subset=2"], "subset"),
        (["--data={data}", "--workdir={new}", "--nolegacy=3"], "does not take an argument"),
        (["--data={data}", "--workdir={new}", "--temperature=nan"], "give a finite number"),
        (["--data={data}", "--workdir={new}", "--depth=20"], "--depth=20: unknown"),
        (["--data={data}", "--workdir={new}", "--frame_interval=2"], "have no interval"),
        (["--data={one}", "--workdir={new}", *TRAIN], "two or more"),
        (
            ["--mode=retrieve", "--data={data}", "--workdir={run}", "--out={new}", "--query=x.mp4"],
            "neither a file nor an id",
        ),
        (["--data={data}", "--workdir={new}", "--subset=0.01"], "leaves none"),
        (["--data={data}", "--workdir={new}", "--family=trn", "--bin_frames=52"], "--bin_frames"),
        (["--data={data}", "--workdir={run}", "--steps=6", *TRAIN, "--subset=0.5"], "--subset=1.0"),
    ],
)
def test_bad_input_is_one_line(trained, digits, tmp_path, capsys, words, says):
    (tmp_path / "empty").mkdir()
    other = tmp_path / "other.csv"
    rows = digits.read_text().splitlines()[:21]
    other.write_text("\n".join(rows).replace("videos/", f"{digits.parent}/videos/"))
    one = tmp_path / "one.csv"
    one.write_text("\n".join([*other.read_text().splitlines()[:2], ""]))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "flags.txt").write_text("--family=single\n--depth")
    places = {
        "home": tmp_path,
        "broken": tmp_path / "broken",
        "run": trained,
        "data": digits,
        "new": tmp_path / "new",
        "empty": tmp_path / "empty",
        "other": other,
        "one": one,
    }
    with pytest.raises((InputError, SystemExit)) as error:
        vie_tf(*(word.format(**places) for word in words))
    said = capsys.readouterr().err if error.type is SystemExit else str(error.value)
    line = said.strip().splitlines()[-1]
    assert says in line
    if error.type is SystemExit:
        assert error.value.code == 1 and said.count("\n") == 1


def test_help_lists_the_flags():
    run = subprocess.run(
        [sys.executable, "-m", "vie_tf.main", "--help"], capture_output=True, text=True
    )
    assert run.returncode == 0 and "--[no]legacy" in run.stdout and "--bank_momentum" in run.stdout


@pytest.mark.parametrize("mode", MODES)
def test_help_of_a_mode_lists_what_it_takes(mode):
    """No flag of it is refused because of the mode."""
    needs = {name: "x" for name in rules.NEEDS[mode]}
    for title, listed in usage.groups(mode).items():
        for name in listed if title != "objective" else ():
            flag = FLAGS[name]
            least, most = (getattr(flag.parser, f"{x}_bound", None) for x in ("lower", "upper"))
            value = str(most or max(1, least or 0))
            if choices := getattr(flag.parser, "enum_values", None):
                value = choices[0]
            elif name == "colour_noise":
                value = "0,0,0,0,0"
            values = {**needs, name: "true" if flag.boolean else value, "mode": mode}
            if name == "second_workdir":
                values["start_from" if mode in ("finetune", "look") else "k"] = "1"
            if name == "embeddings":
                del values["data"]
            parse(*(f"--{key}={value}" for key, value in values.items()))
    for words in ([f"--mode={mode}"], ["--mode", mode], [f"-mode={mode}"]):
        assert f"vie_tf --mode={mode}: " in usage.text(["vie_tf", *words, "--help"])
    assert "--frames_of" not in usage.text(["vie_tf", "--mode=pretrain"])


def test_the_command_prints_one_line_and_exits_1(tmp_path):
    for words in (["--data=/nowhere", f"--workdir={tmp_path}"], ["--nope"]):
        run = subprocess.run(
            [sys.executable, "-m", "vie_tf.main", *words], capture_output=True, text=True
        )
        assert run.returncode == 1 and run.stderr.count("\n") == 1
        assert run.stderr.startswith("vie_tf: ")


def test_damaged_checkpoints(trained, digits, tmp_path, capsys):
    """The newest that can be read is taken; none is one line."""
    shutil.copytree(trained, tmp_path / "run")
    paths = sorted((tmp_path / "run" / "checkpoints").glob("*.data*"))
    words = (f"--workdir={tmp_path / 'run'}", f"--data={digits}")
    paths[-1].write_bytes(paths[-1].read_bytes()[:100_000])
    vie_tf("--mode=knn", *words, "--k=5")
    said = capsys.readouterr().err
    assert "ckpt-6 is damaged" in said and "at step 4" in said
    vie_tf("--mode=pretrain", *words, "--steps=7", "--evaluate_every=7", *TRAIN)
    assert "going on from step 4" in capsys.readouterr().err
    for path in (tmp_path / "run" / "checkpoints").glob("*.data*"):
        path.write_bytes(path.read_bytes()[:100])
    for mode in (["--mode=knn"], ["--steps=8", *TRAIN]):
        with pytest.raises(InputError, match="no checkpoint can be read"):
            vie_tf(*mode, *words)


def test_one_process_at_a_time(trained, digits, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "ckpt-7_temp").mkdir()  # of a save under way
    with workdir.held(tmp_path / "run"):
        words = (f"--workdir={tmp_path / 'run'}", f"--data={digits}", "--steps=8")
        with pytest.raises(InputError, match="another process"):
            vie_tf("--mode=pretrain", *words, *TRAIN)
    assert (tmp_path / "run" / "checkpoints" / "ckpt-7_temp").exists()


def test_a_diverged_network_is_never_saved(digits, tmp_path):
    with pytest.raises(InputError, match="diverged"):
        vie_tf(
            f"--data={digits}",
            f"--workdir={tmp_path / 'run'}",
            "--steps=9",
            *TRAIN,
            "--learning_rate=1e30",
            "--save_every=1",
            "--log_every=100",
            "--evaluate_every=100",
        )
    network, _ = load_network(tmp_path / "run")
    assert all_finite(network)


@pytest.mark.parametrize("family", ["single", "relation4"])  # with a count of steps, an integer
def test_a_weight_that_is_no_number_is_seen(family):
    network = families.build(family, 32)
    assert all_finite(network)
    weight = network.trainable_weights[-1]
    weight.assign(tf.fill(weight.shape, float("nan")))
    assert not all_finite(network)
