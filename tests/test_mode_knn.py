"""--mode=knn: of fresh embeddings, of a file of them, and of the bank."""

import csv
import json
import shutil

import numpy as np
import pytest
from words import TRAIN, vie_tf

from vie_tf.data.videos import open_videos
from vie_tf.errors import InputError
from vie_tf.evaluation import searched
from vie_tf.runs import results


def knn(capsys, *words):
    """What --mode=knn prints last."""
    vie_tf("--mode=knn", "--k=5", *words)
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_knn_ends_with_json_and_keeps_it(trained, digits, capsys, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    result = knn(capsys, f"--data={digits}", f"--workdir={tmp_path / 'run'}")
    assert 0 <= result["top1_low"] <= result["top1"] <= result["top1_high"] <= 1
    assert result["top1"] <= result["top5"] and 0 < result["map"] < 1
    kept = {line.pop("kind"): line for line in results.read(tmp_path / "run")}
    assert set(kept) == {"knn", "retrieval"}
    videos = open_videos(str(digits))
    for line in kept.values():
        said = {"family": "single", "loss": "ir", "seed": 3, "step": 6, "data": str(digits)}
        assert said.items() <= line.items() and line["classes"] == 10
        assert line["fingerprint"] == line["trained_on"] == videos.fingerprint
        assert line["videos"] == (videos.splits == "test").sum()
        assert all(result[name] == line[name] for name in line if name in result)
    assert kept["retrieval"]["class_recall_at_20"] >= kept["retrieval"]["class_recall_at_1"]


def test_a_video_of_both_splits_is_told(trained, digits, capsys, tmp_path):
    with open(digits, newline="") as file:
        rows = list(csv.DictReader(file))
    train, test = ([row for row in rows if row["split"] == split] for split in ("train", "test"))
    shutil.copy(digits.parent / train[0]["path"], tmp_path / "copy.mp4")
    copy = {**train[0], "path": str(tmp_path / "copy.mp4"), "split": "test"}
    with open(tmp_path / "videos.csv", "w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        for row in train + test:
            table.writerow({**row, "path": str(digits.parent / row["path"])})
        table.writerow(copy)
    shutil.copytree(trained, tmp_path / "run")
    words = (f"--data={tmp_path / 'videos.csv'}", f"--workdir={tmp_path / 'run'}", "--clips=1")
    vie_tf("--mode=knn", "--k=5", *words)
    said = f"1 of {len(test) + 1} test videos are in the training set under another name"
    assert said in capsys.readouterr().err


def test_knn_from_an_embeddings_file(trained, digits, capsys, tmp_path):
    """Of one clip a video, the file has all that there is; of other runs it is refused."""
    shutil.copytree(trained, tmp_path / "run")
    vie_tf(
        "--mode=embed", f"--data={digits}", f"--workdir={trained}", f"--out={tmp_path / 'e.npz'}"
    )
    file = f"--embeddings={tmp_path / 'e.npz'}"
    fresh = knn(capsys, f"--data={digits}", f"--workdir={tmp_path / 'run'}")
    alone = knn(capsys, file)
    assert {n: alone[n] for n in alone if "recall" in n or n == "map"} == {
        n: fresh[n] for n in fresh if "recall" in n or n == "map"
    }
    assert len(results.read(tmp_path / "run")) == 2  # nothing of the file alone
    again = knn(capsys, file, f"--workdir={tmp_path / 'run'}", "--knn_temperature=0.5")
    assert results.read(tmp_path / "run")[2]["temperature"] == 0.5 and again["map"] == alone["map"]
    before, after = (results.read(tmp_path / "run")[row] for row in (1, 3))
    assert (before.pop("searched"), after.pop("searched")) == ("train", "file") and before == after
    flags = tmp_path / "run" / "flags.txt"
    flags.write_text(flags.read_text().replace("--seed=3", "--seed=4"))
    with pytest.raises(InputError, match="of a run with seed 3"):
        knn(capsys, file, f"--workdir={tmp_path / 'run'}")
    (tmp_path / "e.npz").write_bytes((tmp_path / "e.npz").read_bytes()[:3000])
    with pytest.raises(InputError, match="not a file of --mode=embed"):
        knn(capsys, file)
    with pytest.raises(SystemExit):
        knn(capsys, file, f"--data={digits}")
    assert "--data is not for --embeddings" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        knn(capsys, file, "--label_column=motion")
    assert "--label_column is not for --embeddings" in capsys.readouterr().err


def test_knn_over_the_bank_is_that_of_training(trained, digits, capsys, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    words = (f"--data={digits}", f"--workdir={tmp_path / 'run'}")
    vie_tf("--mode=pretrain", *words, "--steps=7", "--k=5", "--evaluate_every=7", *TRAIN)
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    capsys.readouterr()
    assert knn(capsys, *words, "--bank")["top1"] == last["knn_top1"]
    assert results.read(tmp_path / "run")[-1]["searched"] == "bank"
    with pytest.raises(SystemExit):
        knn(capsys, *words, "--bank", f"--second_workdir={trained}")
    assert "--bank is of one stream" in capsys.readouterr().err


@pytest.mark.parametrize("column", ["label", "split"])
def test_a_bank_has_the_columns_that_it_was_trained_with(trained, digits, column, capsys, tmp_path):
    """With others its rows would have other classes, or be the videos that ask."""
    table = tmp_path / "videos.csv"
    lines = [line.split(",") for line in digits.read_text().splitlines()]
    place, source = lines[0].index(column), lines[0].index("path")
    rows = [["other", *lines[0]], *([line[place], *line] for line in lines[1:])]
    for row in rows[1:]:
        row[source + 1] = str(digits.parent / row[source + 1])
    table.write_text("\n".join(map(",".join, rows)))
    shutil.copytree(trained, tmp_path / "run")
    words = (f"--data={table}", f"--workdir={tmp_path / 'run'}", "--bank", "--clips=1")
    with pytest.raises(InputError, match=f"was trained with --{column}_column={column}, not other"):
        knn(capsys, *words, f"--{column}_column=other")


def test_a_bank_of_other_videos_is_told(trained, digits, capsys, tmp_path):
    """Such as of another list, whose test videos it may have been trained on."""
    table = tmp_path / "videos.csv"
    lines = [line.split(",") for line in digits.read_text().splitlines()]
    for line in lines[1:]:
        line[lines[0].index("path")] = str(digits.parent / line[lines[0].index("path")])
    table.write_text("\n".join(map(",".join, lines[:-1])))
    shutil.copytree(trained, tmp_path / "run")
    vie_tf(
        *("--mode=knn", "--bank", "--k=5", "--clips=1"),
        *(f"--data={table}", f"--workdir={tmp_path / 'run'}"),
    )
    assert "the bank was not made of" in capsys.readouterr().err


@pytest.mark.parametrize(
    "train, test, says",
    [
        (["", ""], ["a"], "knn: x: 2 of 2 training videos have no label; give a CSV"),
        (["a", "b"], [], "knn: x: no train and test split; give a CSV"),
        ([], ["a"], "knn: x: no train and test split; give a CSV"),
        (["a", "b"], ["", ""], "knn: x: no test video has a label; fill in"),
        (["a", "a", ""], ["a"], "knn: x: all training videos have one label"),
        (["a", "b"], ["c", "c", ""], "knn: x: no training video has the label .*: c; add some"),
        (["a", "b", "", "", ""], ["a"], "k is 3, but only 2 of 5 training videos"),
    ],
)
def test_labels_that_do_not_do(train, test, says):
    parts = [searched.Searched(np.array(names, str)) for names in (train, test)]
    with pytest.raises(InputError, match=says):
        searched.check("x", *parts, 3)


def test_what_is_known_of_the_labels_is_told(capsys):
    train, test = (searched.Searched(np.array(names)) for names in (list("aab") + [""], ["a", "c"]))
    searched.check("x", train, test, 3)
    assert capsys.readouterr().err.splitlines() == [
        "note: 1 of 4 training videos have no label",
        "note: no training video of c: their test videos count as wrong",
        "note: no test video of b",
        "note: only one training video of b",
    ]


def test_classes_that_no_training_video_has_are_named(trained, digits, capsys, tmp_path):
    head, *rows = [line.split(",") for line in digits.read_text().splitlines()]
    column = {name: i for i, name in enumerate(head)}
    for row in rows:
        row[column["path"]] = str(digits.parent / row[column["path"]])
        row[column["label"]] += "!" if row[column["split"]] == "test" else ""
    table = tmp_path / "other.csv"
    table.write_text("\n".join(",".join(row) for row in [head, *rows]))
    with pytest.raises(InputError, match="no training video has the label .*: 0!, "):
        knn(capsys, f"--data={table}", f"--workdir={trained}")
    asked = sorted({row[column["label"]] for row in rows if row[column["split"]] == "test"})
    rows[0][column["label"]], rows[0][column["split"]] = asked[0], "train"
    table.write_text("\n".join(",".join(row) for row in [head, *rows]))
    shutil.copytree(trained, tmp_path / "run")
    vie_tf("--mode=knn", "--k=5", f"--data={table}", f"--workdir={tmp_path / 'run'}")
    said = f"no training video of {', '.join(asked[1:6])} and {len(asked) - 6} more: their test"
    assert said in capsys.readouterr().err
    assert results.read(tmp_path / "run")[0]["videos"] >= len(asked)  # they count
