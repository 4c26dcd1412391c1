"""The whole command on small real videos: train, k-NN, embed, retrieve, export; and bad input."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from matplotlib import image
from words import parse, vie_tf

from data_prep import moving_digits
from vie_tf import modes, workdir
from vie_tf.config import FLAGS
from vie_tf.data.augmentation import AUGMENTATIONS
from vie_tf.data.crops import TEN
from vie_tf.data.splits import subset_rows, training_split
from vie_tf.data.videos import VideoSet, open_videos
from vie_tf.errors import InputError
from vie_tf.evaluation import results
from vie_tf.training import pretrain

TRAIN = ("--image_size=32", "--batch_size=8", "--seed=3", "--precision=float32")


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


def test_local_aggregation_after_instance_recognition(data, tmp_path, capsys):
    """Two clusterings at a time; flags.txt repeats it."""
    words = "--loss=vie --steps=16 --ir_steps=8 --clusters=5,3 --cluster_every=4"
    words = (*words.split(), "--lr_plateau=1", "--evaluate_every=3", "--bank_precision=bfloat16")
    words = (f"--data={data}", *words, *TRAIN)
    vie_tf(f"--workdir={tmp_path / 'run'}", *words)
    assert "neighbours" in (said := capsys.readouterr()).out and "(0 empty)" in said.err
    vie_tf(f"--flagfile={tmp_path / 'run' / 'flags.txt'}", f"--workdir={tmp_path / 'again'}")
    run, again = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("run", "again")
    )
    kept = ("step", "loss", "close", "alone", "learning_rate", "clusters", "cluster_largest")
    run, again = ([[line.get(name) for name in kept] for line in lines] for lines in (run, again))
    assert run == again
    clusterings = [line for line in run if line[5] is not None]
    assert [line[0] for line in clusterings] == [9, 13]
    assert all(line[5] == 8 and line[6] > 1 for line in clusterings)
    aggregating = [line for line in run if line[2] is not None]
    assert aggregating and all(line[0] > 8 and 0 < line[2] < 1 for line in aggregating)


@pytest.mark.parametrize(
    "sharded, ends",
    [
        (True, [5]),
        pytest.param(True, [4, 7], marks=pytest.mark.slow),
        pytest.param(False, [4, 7], marks=pytest.mark.slow),
    ],
)
def test_the_command_on_two_replicas(data, tmp_path, monkeypatch, replicas, sharded, ends):
    """Trains, goes on, and others search with what came out."""
    monkeypatch.setattr(pretrain, "strategy", lambda: replicas)
    words = "--loss=vie --ir_steps=2 --clusters=4 --cluster_every=2 --noise_samples=16"
    words = (*words.split(), f"--shard_bank={sharded}", "--log_every=1", f"--data={data}", *TRAIN)
    for end in ends:
        vie_tf(*words, f"--workdir={tmp_path}", f"--steps={end}", "--save_every=50")
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, end + 1))
    assert [line["step"] for line in lines if "clusters" in line] == list(range(3, end + 1, 2))
    assert all(np.isfinite(line["loss"]) for line in lines if "loss" in line)
    vie_tf("--mode=knn", f"--data={data}", f"--workdir={tmp_path}", "--k=5")
    vie_tf("--mode=knn", f"--data={data}", f"--workdir={tmp_path}", "--k=5", "--bank")
    *_, retrieval, _, of_bank = results.read(tmp_path)
    assert retrieval["searched"] == "train" and of_bank["searched"] == "bank"


def test_a_finished_run_can_be_made_longer(run, data, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    vie_tf(
        "--mode=pretrain", f"--data={data}", f"--workdir={tmp_path / 'run'}", "--steps=8", *TRAIN
    )
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 8


def knn(capsys, *words):
    """What --mode=knn prints last."""
    vie_tf("--mode=knn", "--k=5", *words)
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_knn_ends_with_json_and_keeps_it(run, data, capsys, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    result = knn(capsys, f"--data={data}", f"--workdir={tmp_path / 'run'}")
    assert 0 <= result["top1_low"] <= result["top1"] <= result["top1_high"] <= 1
    assert result["top1"] <= result["top5"] and 0 < result["map"] < 1
    kept = {line.pop("kind"): line for line in results.read(tmp_path / "run")}
    assert set(kept) == {"knn", "retrieval"}
    videos = open_videos(str(data))
    for line in kept.values():
        said = {"family": "single", "loss": "ir", "seed": 3, "step": 6, "data": str(data)}
        assert said.items() <= line.items() and line["classes"] == 10
        assert line["fingerprint"] == line["trained_on"] == videos.fingerprint
        assert line["videos"] == (videos.splits == "test").sum()
        assert all(result[name] == line[name] for name in line if name in result)
    assert kept["retrieval"]["class_recall_at_20"] >= kept["retrieval"]["class_recall_at_1"]


def test_knn_from_an_embeddings_file(run, data, capsys, tmp_path):
    """Of one clip a video, the file has all that there is; of other runs it is refused."""
    shutil.copytree(run, tmp_path / "run")
    vie_tf("--mode=embed", f"--data={data}", f"--workdir={run}", f"--out={tmp_path / 'e.npz'}")
    file = f"--embeddings={tmp_path / 'e.npz'}"
    fresh = knn(capsys, f"--data={data}", f"--workdir={tmp_path / 'run'}")
    alone = knn(capsys, file)
    assert {n: alone[n] for n in alone if "recall" in n or n == "map"} == {
        n: fresh[n] for n in fresh if "recall" in n or n == "map"
    }
    assert len(results.read(tmp_path / "run")) == 2  # nothing of the file alone
    again = knn(capsys, file, f"--workdir={tmp_path / 'run'}", "--knn_temperature=0.5")
    assert results.read(tmp_path / "run")[2]["temperature"] == 0.5 and again["map"] == alone["map"]
    assert {**results.read(tmp_path / "run")[3]} == results.read(tmp_path / "run")[1]
    flags = tmp_path / "run" / "flags.txt"
    flags.write_text(flags.read_text().replace("--seed=3", "--seed=4"))
    with pytest.raises(InputError, match="of a run with seed 3"):
        knn(capsys, file, f"--workdir={tmp_path / 'run'}")
    (tmp_path / "e.npz").write_bytes((tmp_path / "e.npz").read_bytes()[:3000])
    with pytest.raises(InputError, match="not a file of --mode=embed"):
        knn(capsys, file)
    with pytest.raises(SystemExit):
        knn(capsys, file, f"--data={data}")
    assert "--data is not for --embeddings" in capsys.readouterr().err


def test_knn_over_the_bank_is_that_of_training(run, data, capsys, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    words = (f"--data={data}", f"--workdir={tmp_path / 'run'}")
    vie_tf("--mode=pretrain", *words, "--steps=7", "--k=5", *TRAIN)
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    capsys.readouterr()
    assert knn(capsys, *words, "--bank")["top1"] == last["knn_top1"]
    assert results.read(tmp_path / "run")[-1]["searched"] == "bank"


def test_classes_that_no_training_video_has_are_named(run, data, capsys, tmp_path, caplog):
    head, *rows = [line.split(",") for line in data.read_text().splitlines()]
    column = {name: i for i, name in enumerate(head)}
    for row in rows:
        row[column["path"]] = str(data.parent / row[column["path"]])
        row[column["label"]] += "!" if row[column["split"]] == "test" else ""
    table = tmp_path / "other.csv"
    table.write_text("\n".join(",".join(row) for row in [head, *rows]))
    with pytest.raises(InputError, match="no training video has a class .* such as 0!"):
        knn(capsys, f"--data={table}", f"--workdir={run}")
    asked = {row[column["label"]] for row in rows if row[column["split"]] == "test"}
    rows[0][column["label"]], rows[0][column["split"]] = min(asked), "train"
    table.write_text("\n".join(",".join(row) for row in [head, *rows]))
    shutil.copytree(run, tmp_path / "run")
    knn(capsys, f"--data={table}", f"--workdir={tmp_path / 'run'}")
    assert f"{len(asked) - 1} classes of test videos have no training video" in caplog.text


def test_other_test_clips(run, data, tmp_path):
    """All clips that follow each other, of single frames all frames; ten crops of one clip."""
    words = (f"--data={data}", f"--workdir={run}", f"--out={tmp_path / 'e.npz'}")
    found = []
    for options in (["--clips=0"], ["--clips=1", "--ten_crop"], ["--clips=1"]):
        vie_tf("--mode=embed", *words, *options)
        found.append(np.load(tmp_path / "e.npz")["embeddings"])
        np.testing.assert_allclose(np.linalg.norm(found[-1], axis=1), 1, atol=1e-5)
    assert all(np.abs(one - found[2]).max() > 1e-4 for one in found[:2])


@pytest.mark.parametrize(
    "name, noise",
    [
        pytest.param("multi_scale", "0,0,0,0,0", marks=pytest.mark.slow),
        ("simclr", "0.6,0.6,0.6,0.15,0.2"),
    ],
)
def test_an_augmentation_is_kept_with_its_run(name, noise, data, tmp_path, capsys):
    words = (f"--data={data}", f"--workdir={tmp_path}", f"--augmentation={name}", *TRAIN)
    vie_tf("--mode=pretrain", *words, "--steps=2")
    assert f"colour_noise {noise}" in capsys.readouterr().out
    kept = (tmp_path / "flags.txt").read_text().splitlines()
    assert {f"--augmentation={name}", f"--colour_noise={noise}"} <= set(kept)
    with pytest.raises(InputError, match=f"--augmentation={name}"):
        vie_tf("--mode=pretrain", *words, "--augmentation=imagenet", "--steps=4")
    parse("--mode=knn", f"--data={data}", f"--workdir={tmp_path}")
    assert modes.load_run(FLAGS)[3] == AUGMENTATIONS[name].test
    parse("--mode=knn", f"--data={data}", f"--workdir={tmp_path}", "--ten_crop")
    assert modes.load_run(FLAGS)[3] == TEN


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
    from vie_tf.models.families import sampling_of

    batch = next(
        iter(pipeline.test_batches(open_videos(str(data)), sampling_of("single"), 32, clips=1))
    )
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
    words = [sys.executable, "-m", "data_prep.videos", f"--source={data}", f"--out={prepared}"]
    subprocess.run([*words, "--short_side=48"], check=True, capture_output=True)
    for source in (data, prepared):
        for query in (video, str(data.parent / video), None):
            out = tmp_path / "new folder" / "picture.png"
            words = [f"--query={query}"] if query else []
            vie_tf(
                "--mode=retrieve", f"--data={source}", f"--workdir={run}", f"--out={out}", *words
            )
            lines = capsys.readouterr().out.splitlines()
            asked = lines[0].split()[0]
            assert asked == video or not query
            assert "[" in lines[0]  # its label
            assert not any(asked in line for line in lines[1:4])  # not itself
            assert out.exists()
            out.unlink()


def test_a_file_of_the_same_name_from_elsewhere_is_no_member(run, data, tmp_path, capsys):
    (tmp_path / "videos").mkdir()
    rows = [line.split(",") for line in data.read_text().splitlines()]
    known = [row[0] for row in rows if row[2] == "train"]
    other = tmp_path / known[0]
    shutil.copy(data.parent / known[1], other)
    out = f"--out={tmp_path / 'p.png'}"
    vie_tf("--mode=retrieve", f"--data={data}", f"--workdir={run}", out, f"--query={other}")
    found = capsys.readouterr().out.splitlines()[1]
    assert known[1] in found and " 1.000 " in found


def test_retrieve_from_two_videos(run, data, tmp_path, capsys):
    table = tmp_path / "two.csv"
    table.write_text("\n".join(data.read_text().splitlines()[:3]))
    (tmp_path / "videos").symlink_to(data.parent / "videos")
    out = f"--out={tmp_path / 'p.png'}"
    vie_tf("--mode=retrieve", f"--data={table}", f"--workdir={run}", out, "--query=videos/0001.mp4")
    assert "   1" in capsys.readouterr().out
    table.write_text("\n".join(data.read_text().splitlines()[:2]))
    with pytest.raises(InputError, match="no other video"):
        vie_tf("--mode=retrieve", f"--data={table}", f"--workdir={run}", out)


def test_damaged_checkpoints(run, data, tmp_path, capsys):
    """The newest that can be read is taken; none is one line."""
    shutil.copytree(run, tmp_path / "run")
    paths = sorted((tmp_path / "run" / "checkpoints").glob("*.data*"))
    words = (f"--workdir={tmp_path / 'run'}", f"--data={data}")
    paths[-1].write_bytes(paths[-1].read_bytes()[:100_000])
    vie_tf("--mode=knn", *words, "--k=5")
    said = capsys.readouterr().err
    assert "ckpt-6 is damaged" in said and "at step 5" in said
    vie_tf("--mode=pretrain", *words, "--steps=7", *TRAIN)
    assert "going on from step 5" in capsys.readouterr().err
    for path in (tmp_path / "run" / "checkpoints").glob("*.data*"):
        path.write_bytes(path.read_bytes()[:100])
    for mode in (["--mode=knn"], ["--steps=8", *TRAIN]):
        with pytest.raises(InputError, match="no checkpoint can be read"):
            vie_tf(*mode, *words)


def test_one_process_at_a_time(run, data, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "ckpt-7_temp").mkdir()  # of a save under way
    with workdir.held(tmp_path / "run"):
        words = (f"--workdir={tmp_path / 'run'}", f"--data={data}", "--steps=8")
        with pytest.raises(InputError, match="another process"):
            vie_tf("--mode=pretrain", *words, *TRAIN)
    assert (tmp_path / "run" / "checkpoints" / "ckpt-7_temp").exists()


def test_a_diverged_network_is_never_saved(data, tmp_path):
    with pytest.raises(InputError, match="diverged"):
        vie_tf(
            f"--data={data}",
            f"--workdir={tmp_path / 'run'}",
            "--steps=9",
            *TRAIN,
            "--learning_rate=1e30",
            "--save_every=1",
            "--log_every=100",
        )
    network = modes.load_network(tmp_path / "run")
    assert all(np.isfinite(weight).all() for weight in network.get_weights())


def sets(*splits):
    count = len(splits)
    ones = np.ones(count, np.int64)
    ids = [str(n) for n in range(count)]
    return VideoSet(ids, -ones, [], np.array(splits), ones, ones, ones, ones, None)


@pytest.mark.parametrize(
    "splits, share, train, held_out",
    [
        (["train", "train", "test", ""], 0.1, ["0", "1"], ["2"]),
        (["", "", "test"], 0.1, ["0", "1"], ["2"]),
        (["", "", ""], 0.1, ["0", "1", "2"], []),
        (["train", "train"], 0, ["0", "1"], []),
    ],
)
def test_training_split(splits, share, train, held_out):
    found = training_split(sets(*splits), share, 0)
    assert [part.ids for part in found] == [train, held_out]


@pytest.mark.parametrize("split", ["", "train"])
def test_at_least_two_are_held_out(split):
    train, held_out = training_split(sets(*[split] * 5), 0.1, 0)
    assert len(held_out) == 2 and sorted(train.ids + held_out.ids) == list("01234")


def test_only_test_videos_are_refused():
    with pytest.raises(InputError, match="nothing to train on"):
        training_split(sets("test", "test"), 0.1, 0)


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
def test_bad_input_is_one_line(run, data, tmp_path, capsys, words, says):
    (tmp_path / "empty").mkdir()
    other = tmp_path / "other.csv"
    rows = data.read_text().splitlines()[:21]
    other.write_text("\n".join(rows).replace("videos/", f"{data.parent}/videos/"))
    one = tmp_path / "one.csv"
    one.write_text("\n".join([*other.read_text().splitlines()[:2], ""]))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "flags.txt").write_text("--family=single\n--depth")
    places = {
        "home": tmp_path,
        "broken": tmp_path / "broken",
        "run": run,
        "data": data,
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


@pytest.mark.parametrize("legacy", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_subset_in_bins_has_a_row_of_the_bank_for_each(data, tmp_path, capsys, legacy):
    videos = open_videos(str(data))
    train, _ = training_split(videos, 0.1, 3)
    chosen = train.subset(subset_rows(len(train), 0.5, 3, legacy))
    rows = sum(-(-n // 10) for n in chosen.frames.tolist())
    words = [f"--data={data}", f"--workdir={tmp_path}", f"--legacy={legacy}"]
    words += ["--subset=0.5", "--bin_frames=10", *TRAIN]
    vie_tf(*words, "--steps=2")
    said = capsys.readouterr().out
    assert f"; {len(set(chosen.ids))} videos drawn to train on; {rows} bins; " in said
    newest = tf.train.latest_checkpoint(tmp_path / "checkpoints")
    shapes = [shape for name, shape in tf.train.list_variables(newest) if "bank/rows/" in name]
    assert shapes and all(shape == [rows, 128] for shape in shapes)
    vie_tf(*words, "--steps=3")
    assert "going on from step 2" in capsys.readouterr().err
    vie_tf("--mode=knn", *words[:2], "--k=5")
