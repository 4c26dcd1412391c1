"""Fine-tuning by the command: where it starts, what it leaves, and bad input."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
import small_networks
import tensorflow as tf
from make_videos import picture, write_video
from PIL import Image
from words import parse, rewound, vie_tf

from vie_tf.commands.flags import given, settings
from vie_tf.data import decoding
from vie_tf.data.splits import training_split
from vie_tf.data.videos import open_videos
from vie_tf.errors import InputError
from vie_tf.evaluation.labelled import labelled_split, overlap
from vie_tf.models import families
from vie_tf.runs import start_from
from vie_tf.runs.trained import load_network
from vie_tf.training.defaults import complete
from vie_tf.training.learning_rate import PiecewiseRate
from vie_tf.training.run import build

SMALL = ("--image_size=32", "--batch_size=4", "--seed=3", "--precision=float32", "--clips=2")
SIZES = ((40, 48), (48, 40), (56, 48))  # of the classes' videos


def write_csv(folder, rows):
    with open(folder / "videos.csv", "w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return folder / "videos.csv"


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Videos of three classes, four to train on and two to test with: a folder and a CSV's rows."""
    folder, rows = tmp_path_factory.mktemp("videos"), []
    for label, (height, width) in zip("abc", SIZES):
        for number in range(6):
            name = f"{label}{number}.mp4"
            write_video(folder / name, frames=8 + number, height=height, width=width)
            rows.append((name, label, "train" if number < 4 else "test"))
    return folder, rows


@pytest.fixture(scope="module")
def data(rows):
    return write_csv(*rows)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A run of VIE-Single to start from."""
    folder = tmp_path_factory.mktemp("runs") / "ir"
    vie_tf(f"--data={data}", f"--workdir={folder}", "--steps=2", *SMALL)
    return folder


def finetune(data, folder, *words):
    vie_tf("--mode=finetune", f"--data={data}", f"--workdir={folder}", *SMALL, *words)
    return json.loads((folder / "results.jsonl").read_text().splitlines()[-1])


def lines(folder, *names):
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [[line.get(name) for name in ("step", *names)] for line in found]


def test_from_a_run_and_from_scratch(data, run, tmp_path, capsys):
    """With both augmentations; the best checkpoint is a run of its own."""
    first = finetune(data, tmp_path / "ir", "--steps=4", f"--start_from={run}")
    said = capsys.readouterr().out
    assert "starts from" in said and "(ir, step 2)" in said and "new: logits" in said
    assert "top-1 of 6 test videos" in said
    assert (first["kind"], first["start"], first["start_step"]) == ("finetune", "ir", 2)
    assert (first["step"], first["videos"], first["augmentation"]) == (4, 6, "colour_noise")
    assert 0 <= first["top1_low"] <= first["top1"] <= first["top1_high"] <= first["top5"] == 1
    kept = (tmp_path / "ir" / "flags.txt").read_text().splitlines()
    assert {"--learning_rate=0.0005", "--weight_decay=1e-05", f"--start_from={run}"} <= set(kept)
    scratch = finetune(data, tmp_path / "scratch", "--steps=1", "--augmentation=multi_scale")
    assert (scratch["start"], scratch["augmentation"]) == ("scratch", "multi_scale")
    kept = (tmp_path / "scratch" / "flags.txt").read_text().splitlines()
    assert {"--learning_rate=0.01", "--weight_decay=0.0001"} <= set(kept)
    evaluated = [line for line in lines(tmp_path / "ir", "top1") if line[1] is not None]
    highest = max(top1 for _, top1 in evaluated)
    best = next(step for step, top1 in evaluated if top1 == highest)
    assert (first["best_step"], first["best_top1"]) == (best, highest)
    vie_tf("--mode=knn", f"--data={data}", f"--workdir={tmp_path / 'ir' / 'best'}", "--k=3")
    assert f"best at step {best}" in capsys.readouterr().err


def test_it_goes_on_bit_for_bit_without_the_run_it_started_from(data, run, tmp_path):
    """The best checkpoint too, and where checkpoints were lost after evaluations.

    A finished run is tested anew, by all clips that there are.
    """
    shutil.copytree(run, tmp_path / "start")
    words = (f"--start_from={tmp_path / 'start'}", "--log_every=1", "--evaluate_every=2")
    words = (*words, "--learning_rate=0.01", "--lr_plateau=1", "--save_every=3")
    whole = finetune(data, tmp_path / "whole", *words, "--steps=8")
    parts = rewound(tmp_path / "whole", 3, tmp_path / "parts")
    shutil.rmtree(tmp_path / "start")
    assert finetune(data, parts, *words, "--steps=8") == whole
    names = ("loss", "top1", "learning_rate")
    ends = [lines(tmp_path / name, *names) for name in ("whole", "parts")]
    assert ends[0] == ends[1] and len({line[3] for line in ends[0] if line[3]}) > 1  # it dropped
    again = finetune(data, tmp_path / "parts", *words, "--steps=8", "--clips=0")
    assert (again["clips"], again["step"]) == (0, 8)
    assert len((tmp_path / "parts" / "results.jsonl").read_text().splitlines()) == 3
    with pytest.raises(InputError, match="run of --mode=finetune"):
        vie_tf(f"--data={data}", f"--workdir={tmp_path / 'parts'}", "--loss=supervised", *SMALL)


@pytest.fixture(scope="module")
def slow(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "slow"
    words = ("--family=slow", "--frame_interval=2", "--steps=0")
    vie_tf(f"--data={data}", f"--workdir={folder}", *words, *SMALL)
    return folder


@pytest.mark.slow
def test_two_streams_from_two_runs(data, run, slow, tmp_path, capsys):
    words = (f"--start_from={run}", f"--second_workdir={slow}")
    found = finetune(data, tmp_path / "both", *words, "--steps=1")
    assert (found["family"], found["start"]) == ("single+slow", "ir")
    assert "--frame_interval=2" in (tmp_path / "both" / "flags.txt").read_text()
    network, _ = load_network(tmp_path / "both")
    assert network.output_shape["encode_7"][-1] == 2 * small_networks.WIDTHS[-1]
    parts = start_from.streams(network)
    assert [part.name for part in parts] == ["single", "slow"]
    fresh = families.build_finetuned("single+slow", 32, num_classes=3)
    runs = [tmp_path / "single", tmp_path / "slow"]
    for source, target in zip((run, slow), runs):
        shutil.copytree(source, target)
    start_from.load_weights(fresh, runs)
    for part, source in zip(start_from.streams(fresh), runs):
        theirs = dict(start_from.named_weights(load_network(source)[0]))
        for name, weight in start_from.named_weights(part):
            np.testing.assert_array_equal(weight, theirs[name])
    with pytest.raises(InputError, match="not single"):
        finetune(data, tmp_path / "no", f"--start_from={slow}", f"--second_workdir={run}")
    with pytest.raises(InputError, match="single frames too"):
        finetune(data, tmp_path / "no", f"--start_from={run}", f"--second_workdir={run}")
    assert not (tmp_path / "no").exists()


def test_pretraining_starts_from_another_familys_weights(data, run, tmp_path, capsys):
    """VIE-TRN from VIE-Single, as in the paper's table: all but the embedding's layer."""
    words = ("--family=trn", "--loss=la", f"--start_from={run}", "--steps=0", *SMALL)
    vie_tf(f"--data={data}", f"--workdir={tmp_path / 'trn'}", *words)
    assert "new: embedding_raw" in capsys.readouterr().out
    (network, _), (single, _) = load_network(tmp_path / "trn"), load_network(run)
    theirs = dict(start_from.named_weights(single))
    for name, weight in start_from.named_weights(network):
        if name[0] != "embedding_raw":
            np.testing.assert_array_equal(weight, theirs[name])
    assert network.name == "trn" and single.get_layer("final_bn").moving_mean.numpy().any()


def test_a_checkpoint_of_another_family_is_refused(data, run, tmp_path):
    with pytest.raises(InputError, match="is a network of single, and .* do not fit"):
        finetune(data, tmp_path / "no", "--family=resnet3d", f"--start_from={run}")
    with pytest.raises(InputError, match="holds no run"):
        finetune(data, tmp_path / "no", f"--start_from={tmp_path / 'nothing'}")
    with pytest.raises(InputError, match="do not fit"):
        finetune(data, tmp_path / "no", f"--start_from={run}", "--depth=34")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    "words, says",
    [
        (["--loss=la"], "learns labels"),
        (["--temperature=0.1"], "--temperature is for"),
        (["--second_workdir=x"], "VIE-Single's run as --start_from"),
        (["--frames_of=slow"], "--frames_of is for networks that are trained"),
        (["--family=single+single"], "unknown"),
    ],
)
def test_flags_that_do_not_go_together(data, tmp_path, capsys, words, says):
    with pytest.raises((InputError, SystemExit)) as error:
        finetune(data, tmp_path / "run", "--steps=1", *words)
    assert says in str(error.value) + capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def split(videos, **columns):
    videos = dataclasses.replace(videos, **columns)
    return [videos.subset(videos.splits == name) for name in ("train", "test")]


def test_labels_that_are_missing(data, tmp_path):
    videos = open_videos(str(data))
    some, none = videos.labels.copy(), np.full(len(videos), -1)
    some[0] = -1
    with pytest.raises(InputError, match="1 of 12 training videos have no label"):
        labelled_split(*split(videos, labels=some), "x")
    none[videos.splits == "train"] = videos.labels[videos.splits == "train"]
    with pytest.raises(InputError, match="x: no test video has a label"):
        labelled_split(*split(videos, labels=none), "x")
    none[-1] = videos.labels[-1]
    test, said = labelled_split(*split(videos, labels=none), "x")
    assert len(test) == 1 and said == ["5 of 6 test videos have no label", "no test video of a, b"]
    with pytest.raises(InputError, match="one label"):
        labelled_split(*split(videos, labels=np.zeros(len(videos), int)), "x")
    with pytest.raises(InputError, match="--mode=finetune: .*: 16 of 16 training videos have"):
        finetune(data.parent, tmp_path / "run")  # a folder without sub-folders
    assert not (tmp_path / "run").exists()


def test_classes_that_differ_and_a_class_of_one_video(rows, tmp_path):
    folder, listed = rows
    videos = open_videos(str(folder / "videos.csv"))
    train, test = split(videos)
    assert labelled_split(train, test, "x")[1] == []
    of_a_and_b = train.subset(train.labels < 2)
    with pytest.raises(InputError, match="no training video has the label of .*: c; add"):
        labelled_split(of_a_and_b, test, "x")
    one = train.subset([*np.flatnonzero(train.labels < 2), 8])
    assert labelled_split(one, test, "x")[1] == ["only one training video of c"]
    assert labelled_split(train, test.subset(test.labels > 0), "x")[1] == ["no test video of a"]
    # By the command, and nothing is left behind.
    for name in {name for name, *_ in listed}:
        shutil.copy(folder / name, tmp_path)
    kept = [row for row in listed if row[1:] != ("c", "train")]
    with pytest.raises(InputError, match="videos.csv: no training video has the label"):
        finetune(write_csv(tmp_path, kept), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_class_of_one_video_is_not_held_out(rows, tmp_path, capsys):
    """Of folders by classes, of which a random part is held out."""
    folder, listed = rows
    for name, label, _ in listed[:13]:
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, tmp_path / "data" / label)
    drawn = training_split(open_videos(str(tmp_path / "data")), 0.7, 3)[1]
    assert "c/c0.mp4" in drawn.ids and len(drawn) == 9
    found = finetune(tmp_path / "data", tmp_path / "run", "--steps=0", "--held_out=0.7")
    assert found["videos"] == 9
    assert "no test video of c\n" in capsys.readouterr().err


def test_a_test_set_that_overlaps_the_training_set(rows, tmp_path, capsys):
    """Copies under other names are found; a file that is as long with other pictures is none."""
    folder, listed = rows
    for name in {name for name, *_ in listed}:
        shutil.copy(folder / name, tmp_path)
    for name in ("a1", "b2"):
        shutil.copy(tmp_path / f"{name}.mp4", tmp_path / f"copy of {name}.mp4")
    more = [("copy of a1.mp4", "a", "test"), ("copy of b2.mp4", "b", "test")]
    data = write_csv(tmp_path, [*listed, *more])
    train, test = split(open_videos(str(data)))
    assert overlap(train, test) == 2 and overlap(train, train) == len(train)

    def darker(first):
        def read(number, chosen, box):
            frames = test.read(number, chosen, box)
            dark = (chosen >= first)[:, None, None, None]
            return frames._replace(stored=tf.where(dark, frames.stored // 2, frames.stored))

        return dataclasses.replace(test, read=read)

    assert overlap(train, darker(99)) == 2
    assert overlap(train, darker(0)) == overlap(train, darker(1)) == 0
    finetune(data, tmp_path / "run", "--steps=0")
    assert "2 of 8 test videos are in the training set" in capsys.readouterr().err


def test_overlap_of_prepared_videos(prepared):
    """Of which frames are compared as they are stored."""
    train, test = split(open_videos(str(prepared)))
    assert overlap(train, train) == len(train) and overlap(train, test) == 0
    as_long = {name: getattr(train, name)[:1] for name in ("file_bytes", "frames", "sizes")}
    for other in (test.subset([0]), train.subset([1])):
        assert overlap(train, dataclasses.replace(other, **as_long)) == 0


def test_overlap_of_images_decodes_each_once(tmp_path, monkeypatch):
    """Though all are as long as each other."""
    pictures, rows, read = [], [], []
    for number in range(20):
        pictures.append(str(tmp_path / f"{number}.bmp"))
        Image.fromarray(picture(number % 19)).save(pictures[-1])
        rows.append((pictures[-1], "ab"[number % 2], "train" if number < 10 else "test"))
    parts, decoded = split(open_videos(str(write_csv(tmp_path, rows)))), decoding.read_frames
    monkeypatch.setattr(decoding, "read_frames", lambda *a: read.append(a[0]) or decoded(*a))
    assert overlap(*parts) == 1
    assert sorted(read) == sorted(pictures)


def test_drops_of_the_rate_in_both_phases(data):
    words = "--loss=vie --steps=20 --ir_steps=10 --ir_lr_boundaries=3,6 --lr_boundaries=4"
    parse(f"--data={data}", "--workdir=x", "--learning_rate=1", *words.split(), *SMALL)
    videos = open_videos(str(data))
    asked, _ = complete(settings(), given(), len(videos))
    asked.objective.check(asked, len(videos))
    rate = build(asked, videos).optimizer._learning_rate
    found = [float(rate(step)) for step in range(20)]
    expected = [1] * 4 + [0.1] * 3 + [0.01] * 3 + [1] * 5 + [0.1] * 5
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    again = PiecewiseRate.from_config(rate.get_config())
    np.testing.assert_allclose([float(again(step)) for step in range(20)], expected, rtol=1e-5)
    parse(f"--data={data}", "--workdir=x", *words.replace("3,6", "3,10").split(), *SMALL)
    asked, _ = complete(settings(), given(), len(videos))
    with pytest.raises(InputError, match="IR ends after step 10"):
        asked.objective.check(asked, len(videos))
