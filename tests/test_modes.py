"""The whole command on small real videos: train, k-NN, embed, retrieve, export; and bad input."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from matplotlib import image

from data_prep import moving_digits
from vie_tf import config, main, modes  # noqa: F401 (config defines the flags)
from vie_tf.errors import InputError

TRAIN = ("--image_size=32", "--batch_size=8", "--seed=3", "--precision=float32")


@pytest.fixture(autouse=True)
def float32():
    yield
    tf.keras.mixed_precision.set_global_policy("float32")


def parse(*words):
    """Reads flags as a new process would: none is left over from the test before."""
    flags.FLAGS.unparse_flags()
    for name in [*config.RUN, "workdir", "out", "query"]:
        flags.FLAGS[name].unparse()
    main.parse(["vie_tf", *words])


def vie_tf(*words):
    """Runs the command in this process, as `vie_tf` would."""
    parse(*words)
    return getattr(modes, flags.FLAGS.mode)(flags.FLAGS)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    moving_digits.make(str(folder), seed=0, limit=40)
    return folder / "videos.csv"


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "run"
    vie_tf("--mode=pretrain", f"--data={data}", f"--workdir={workdir}", "--steps=6", *TRAIN)
    return workdir


def test_training_leaves_what_is_promised(run):
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = {line["step"] for line in metrics}
    assert {0, 6} <= steps
    last = {key: value for line in metrics if line["step"] == 6 for key, value in line.items()}
    assert {"loss", "clips_per_second", "data_wait", "recall_at_1", "knn_top1"} <= set(last)
    assert 0 <= last["data_wait"] <= 1 and last["effective_dimension"] > 1
    assert list((run / "tensorboard").iterdir()) and image.imread(run / "curves.png").ndim == 3
    assert len(list((run / "checkpoints").glob("*.index"))) == 3


def test_flags_txt_repeats_the_run(run, tmp_path):
    words = (f"--flagfile={run / 'flags.txt'}", f"--workdir={tmp_path}")
    vie_tf(*words)
    again, first = (
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (tmp_path, run)
    )
    assert [line.get("loss") for line in again] == [line.get("loss") for line in first]


def test_a_finished_run_can_be_made_longer(run, data, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    vie_tf(
        "--mode=pretrain", f"--data={data}", f"--workdir={tmp_path / 'run'}", "--steps=8", *TRAIN
    )
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 8


def test_knn_ends_with_json(run, data, capsys):
    vie_tf("--mode=knn", f"--data={data}", f"--workdir={run}", "--k=5")
    result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert 0 <= result["low"] <= result["top1"] <= result["high"] <= 1


def test_embed_and_saved_model_agree(run, data, tmp_path):
    """The SavedModel, in a Python that cannot import vie_tf, gives the embeddings of the file."""
    vie_tf(
        "--mode=embed",
        f"--data={data}",
        f"--workdir={run}",
        f"--out={tmp_path / 'e.npz'}",
        "--clips=1",
    )
    vie_tf("--mode=export", f"--workdir={run}", f"--out={tmp_path / 'model'}")
    file = np.load(tmp_path / "e.npz")
    assert file["embeddings"].shape == (40, 128) and file["embeddings"].dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(file["embeddings"], axis=1), 1, atol=1e-5)
    assert list(file["ids"]) == [f"videos/{n:04}.mp4" for n in range(40)]
    assert set(file["split"]) == {"train", "test"} and set(file["labels"]) <= set("0123456789")
    from vie_tf.data import pipeline
    from vie_tf.data.videos import open_videos

    batch = next(iter(pipeline.test_batches(open_videos(str(data)), 32, clips=1)))
    np.save(tmp_path / "clips.npy", batch["clip"])
    script = (
        "import sys, numpy as np\n"
        "sys.modules['vie_tf'] = None\n"
        "import tensorflow as tf\n"
        "model = tf.saved_model.load(sys.argv[1])\n"
        "out = model.signatures['serving_default'](clip=tf.constant(np.load(sys.argv[2])))\n"
        "assert set(out) == {'embedding', *(f'encode_{i}' for i in range(1, 11))}, set(out)\n"
        "np.save(sys.argv[3], out['embedding'])\n"
    )
    subprocess.run(
        [
            sys.executable,
            "-c",
            script,
            tmp_path / "model",
            tmp_path / "clips.npy",
            tmp_path / "out.npy",
        ],
        check=True,
        cwd=tmp_path,
    )
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), file["embeddings"], atol=1e-5)


def test_retrieve_one_and_all(run, data, tmp_path, capsys):
    video, prepared = "videos/0003.mp4", tmp_path / "prepared"
    command = [sys.executable, "-m", "data_prep.videos", f"--source={data}", f"--out={prepared}"]
    subprocess.run([*command, "--short_side=48"], check=True, capture_output=True)
    for source, query in (
        (data, video),
        (data, str(data.parent / video)),
        (data, None),
        (prepared, video),
    ):
        out = tmp_path / "picture.png"
        words = [f"--query={query}"] if query else []
        vie_tf("--mode=retrieve", f"--data={source}", f"--workdir={run}", f"--out={out}", *words)
        said = capsys.readouterr().out
        assert "0003" in said and out.exists()
        out.unlink()


@pytest.mark.parametrize(
    "words, says",
    [
        (["--mode=train"], "mode"),
        (["--no_such_flag=1"], "no_such_flag"),
        (["--mode=knn"], "needs --data"),
        (["stray"], "unexpected argument"),
        (["--mode=export", "--workdir={run}", "--out=x", "--query=y"], "--query is for"),
        (["--mode=knn", "--data={data}", "--workdir={run}", "--k=500"], "k is 500"),
        (["--mode=knn", "--data={data}", "--workdir=/nowhere"], "holds no run"),
        (["--mode=knn", "--data=/nowhere", "--workdir={run}"], "no such folder"),
        (["--mode=knn", "--data={data}", "--workdir={run}", "--image_size=64"], "trained with"),
        (["--data={data}", "--workdir={run}", "--steps=6", *TRAIN, "--seed=4"], "--seed=3"),
        (["--data={other}", "--workdir={run}", "--steps=6", *TRAIN], "another data set"),
        (["--data={data}", "--workdir={run}", "--steps=3", *TRAIN], "past --steps=3"),
        (["--data={data}", "--workdir=/proc/x", *TRAIN], "cannot write"),
        (["--data={data}", "--workdir={new}", "--image_size=16"], "too small"),
        (["--data={data}", "--workdir={new}", "--colour_noise=1,2"], "five numbers"),
        (["--data={empty}", "--workdir={new}"], "no videos"),
    ],
)
def test_bad_input_is_one_line(run, data, tmp_path, capsys, words, says):
    (tmp_path / "empty").mkdir()
    other = tmp_path / "other.csv"
    rows = data.read_text().splitlines()[:21]
    other.write_text("\n".join(rows).replace("videos/", f"{data.parent}/videos/"))
    places = {
        "run": run,
        "data": data,
        "new": tmp_path / "new",
        "empty": tmp_path / "empty",
        "other": other,
    }
    with pytest.raises((InputError, SystemExit)) as error:
        vie_tf(*(word.format(**places) for word in words))
    said = capsys.readouterr().err if error.type is SystemExit else str(error.value)
    line = said.strip().splitlines()[-1]
    assert says in line
    if error.type is SystemExit:
        assert error.value.code == 1 and said.count("\n") == 1


def test_the_command_prints_one_line_and_exits_1(tmp_path):
    for words in (["--data=/nowhere", f"--workdir={tmp_path}"], ["--nope"]):
        run = subprocess.run(
            [sys.executable, "-m", "vie_tf.main", *words], capture_output=True, text=True
        )
        assert run.returncode == 1 and run.stderr.count("\n") == 1
        assert run.stderr.startswith("vie_tf: ")


def test_without_labels_or_split_a_share_is_held_out(data, tmp_path, capsys):
    folder = tmp_path / "plain"
    shutil.copytree(data.parent / "videos", folder)
    vie_tf(
        "--mode=pretrain", f"--data={folder}", f"--workdir={tmp_path / 'run'}", "--steps=0", *TRAIN
    )
    said = capsys.readouterr()
    assert "36 videos to train on, 4 held out" in said.out
    first = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["step"] == 0 and "recall_at_1" in first and "knn_top1" not in first
