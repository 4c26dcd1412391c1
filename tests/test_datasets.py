"""Known data sets from miniature trees of what people download."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from make_videos import write_video

from data_prep.datasets import list_dataset
from vie_tf.data.videos import open_videos
from vie_tf.errors import InputError

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def tree(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"")
    return folder


def text(path: Path, *lines: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\r\n" for line in lines))  # as UCF101's lists end
    return str(path)


def listed(dataset: str, folder: Path, *lists, out: Path | None = None):
    """Rows of the CSV by path, and the lines printed."""
    out = out or folder / "out.csv"
    said = list_dataset(dataset, str(folder), [str(path) for path in lists], str(out))
    with open(out, newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}, said.splitlines()


def brief(rows, *columns):
    return {path: tuple(row[column] for column in columns) for path, row in rows.items()}


# Kinetics

ID = ["-0_abcDEFgh", "_1abcdefghi", "a2345678901", "b2345678901", "c_345678901", "d2345678901"]
HEADER = "label,youtube_id,time_start,time_end,split"


@pytest.fixture
def kinetics(tmp_path):
    lists = tmp_path / "lists"
    text(
        lists / "train.csv",
        HEADER,
        f"skiing (not slalom or crosscountry),{ID[0]},95,105,train",
        f"skiing crosscountry,{ID[1]},5,15,train",
        f"massaging person's head,{ID[2]},0,10,train",
        f"massaging person's head,{ID[2]},20,30,train",
        f'"skiing crosscountry",{ID[5]},0,10,train',
    )
    text(lists / "validate.csv", HEADER, f"skiing crosscountry,{ID[3]},1,11,val")
    text(lists / "test.csv", "youtube_id,time_start,time_end,split", f"{ID[4]},7,17,test")
    tree(
        tmp_path,
        f"train/skiing_not_slalom_or_crosscountry/{ID[0]}_000095_000105.mp4",
        f"train/skiing crosscountry/{ID[1]}_5.avi",
        f"train/massaging persons head/{ID[2]}_000020.mkv",
        f"train/massaging persons head/{ID[2]}.mp4",  # which of the two?
        f"val/{ID[3]}.webm",
        f"test/{ID[4]}_7_17.mp4",
        f"copy/{ID[0]}_95.mp4",
        "other/zzzzzzzzzzz_000001_000011.mp4",
        f"train/skiing crosscountry/{ID[5].upper()}.mp4",  # YouTube's case counts
    )
    return tmp_path


def test_kinetics(kinetics):
    rows, said = listed("kinetics400", kinetics, kinetics / "lists")
    assert brief(rows, "label", "split", "class_index") == {
        f"copy/{ID[0]}_95.mp4": ("skiing (not slalom or crosscountry)", "train", "1"),
        f"test/{ID[4]}_7_17.mp4": ("", "", ""),
        f"train/massaging persons head/{ID[2]}_000020.mkv": (
            *("massaging person's head", "train", "0"),
        ),
        f"train/skiing crosscountry/{ID[1]}_5.avi": ("skiing crosscountry", "train", "2"),
        f"val/{ID[3]}.webm": ("skiing crosscountry", "test", "2"),
    }
    assert said == [
        "kinetics400: 5 of 7 videos found, 2 listed ones missing "
        f"(see {kinetics / 'out.missing.txt'})",
        "3 classes, officially 400",
        "split none: 1 of 1 listed",
        "split test: 1 of 1 listed",
        "split train: 3 of 5 listed, 2 missing (40.0 %)",
        "4 files left out: not listed, or a second copy",
        str(kinetics / "out.csv"),
    ]
    missing = (kinetics / "out.missing.txt").read_text().splitlines()
    assert missing == [f"{ID[2]}_000000_000010", f"{ID[5]}_000000_000010"]
    # One list for all splits, and nothing missing any more.
    both = text(kinetics / "all.csv", HEADER, f"skiing crosscountry,{ID[3]},1,11,val")
    rows, said = listed("kinetics700", kinetics, both)
    assert len(rows) == 1 and said[0] == "kinetics700: 1 of 1 videos found"
    assert not (kinetics / "out.missing.txt").exists()


@pytest.mark.parametrize(
    "lines, error",
    [
        ([f"a,{ID[0]},95,105,val"], r"test2.csv line 2: the split of .* is test, but train at .*"),
        ([f"a,{ID[4]},1,2,val", f"b,{ID[4]},1,2,val"], "line 3: the label of .* is b, but a at"),
        ([f"a,{ID[4]},one,2,val"], "line 2: time_start or time_end is no number"),
        ([f"a,{ID[4]},1,2,spare"], "line 2: the split is 'spare'"),
    ],
)
def test_kinetics_contradictions(tmp_path, lines, error):
    first = text(tmp_path / "train.csv", HEADER, f"a,{ID[0]},95,105,train")
    second = text(tmp_path / "test2.csv", HEADER, *lines)
    with pytest.raises(InputError, match=error):
        listed("kinetics400", tree(tmp_path, f"{ID[0]}.mp4"), first, second)
    assert not (tmp_path / "out.csv").exists()


# UCF101

UCF = {
    # In classInd.txt Hammering comes before HammerThrow, and HandstandPushups has files with a
    # large S.
    "Hammering": ("v_Hammering_g01_c01", "v_Hammering_g02_c01"),
    "HammerThrow": ("v_HammerThrow_g01_c01", "v_HammerThrow_g02_c01"),
    "HandstandPushups": ("v_HandStandPushups_g01_c01", "v_HandStandPushups_g02_c01"),
}


def ucf101(folder: Path) -> Path:
    lists = folder / "ucfTrainTestlist"
    text(lists / "classInd.txt", *(f"{n} {name}" for n, name in enumerate(UCF, start=1)))
    for split, (train, test) in (("1", (0, 1)), ("2", (1, 0)), ("3", (0, 1))):
        names = [
            f"{label}/{files[train]}.avi {n}" for n, (label, files) in enumerate(UCF.items(), 1)
        ]
        text(lists / f"trainlist0{split}.txt", *names)
        names = [f"{label}/{files[test]}.avi" for label, files in UCF.items()]
        text(lists / f"testlist0{split}.txt", *names)
    return lists


def test_ucf101(tmp_path):
    lists = ucf101(tmp_path)
    paths = [f"UCF-101/{label}/{file}.avi" for label, files in UCF.items() for file in files]
    paths[-1] = "UCF-101/HandStandPushups/v_HandstandPushups_g02_c01.mp4"  # as some have renamed it
    tree(tmp_path, *paths[1:])
    rows, said = listed("ucf101", tmp_path, lists)
    assert brief(rows, "label", "class_index", "split", "split1", "split2", "split3") == {
        paths[1]: ("Hammering", "0", "test", "test", "train", "test"),
        paths[2]: ("HammerThrow", "1", "train", "train", "test", "train"),
        paths[3]: ("HammerThrow", "1", "test", "test", "train", "test"),
        paths[4]: ("HandstandPushups", "2", "train", "train", "test", "train"),
        paths[5]: ("HandstandPushups", "2", "test", "test", "train", "test"),
    }
    assert said[0].startswith("ucf101: 5 of 13,320 videos found, 1 listed ones missing")
    assert "split1 train: 2 of 3 listed, 1 missing (33.3 %); officially 9,537" in said
    assert "split3 test: 3 of 3 listed; officially 3,696" in said
    assert (tmp_path / "out.missing.txt").read_text() == "Hammering/v_Hammering_g01_c01.avi\n"


@pytest.mark.parametrize(
    "name, line, error",
    [
        (
            "trainlist02.txt",
            "Hammering/v_X.avi 2",
            r"trainlist02.txt line 1: .* label 2.* number 1",
        ),
        ("trainlist02.txt", "Hammer/v_X.avi 2", "line 1: the class 'Hammer' is not in classInd"),
        (
            *("testlist01.txt", "Hammering/v_Hammering_g01_c01.avi"),
            "testlist01.txt line 1: the split1 of .* is test, but train at .*list01.txt line 1",
        ),
        ("classInd.txt", "1 Hammering\n3 HammerThrow", "HammerThrow has the number 3, where 2"),
        ("classInd.txt", "one Hammering", "line 1: 'one' is no whole number"),
    ],
)
def test_ucf101_contradictions(tmp_path, name, line, error):
    lists = ucf101(tmp_path)
    text(lists / name, line)
    with pytest.raises(InputError, match=error):
        listed("ucf101", tmp_path, lists)


def test_ucf101_without_a_list(tmp_path):
    lists = ucf101(tmp_path)
    os.remove(lists / "testlist02.txt")
    with pytest.raises(InputError, match="needs testlist02.txt; found classInd.txt, "):
        listed("ucf101", tmp_path, lists)
    os.remove(lists / "classInd.txt")
    with pytest.raises(InputError, match="needs classInd.txt"):
        listed("ucf101", tmp_path, lists)
    with pytest.raises(InputError, match="no such file or folder"):
        listed("ucf101", tmp_path, tmp_path / "gone")


def test_nothing_found_says_what_was_looked_for(tmp_path):
    lists = ucf101(tmp_path / "lists")
    videos = tree(tmp_path / "videos", "a/b.mp4")
    with pytest.raises(
        InputError, match="v_Hammering_g01_c01.avi, found 1 files, such as a/b.mp4;"
    ):
        listed("ucf101", videos, lists)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="found 0 files, none;"):
        listed("ucf101", tmp_path / "empty", lists)
    with pytest.raises(InputError, match="names such as train/n01440764/.*found 1 files"):
        listed("imagenet", videos)


def test_paths_outside_of_the_csvs_folder_are_absolute(tmp_path):
    lists = ucf101(tmp_path / "lists")
    videos = tree(tmp_path / "videos", "v_Hammering_g01_c01.avi")
    rows, _ = listed("ucf101", videos, lists, out=tmp_path / "new" / "ucf.csv")
    assert list(rows) == [str(tmp_path / "videos" / "v_Hammering_g01_c01.avi")]
    rows, _ = listed("ucf101", videos, lists, out=tmp_path / "ucf.csv")
    assert list(rows) == ["videos/v_Hammering_g01_c01.avi"]
    with pytest.raises(InputError, match="must end in .csv"):
        listed("ucf101", videos, lists, out=tmp_path / "ucf.txt")


@pytest.fixture(scope="module")
def prepared_ucf101(tmp_path_factory):
    """The whole chain, as commands."""
    folder = tmp_path_factory.mktemp("ucf101")
    lists = ucf101(folder)
    for label, files in UCF.items():
        (folder / "UCF-101" / label).mkdir(parents=True)
        for number, file in enumerate(files):
            if label != "HammerThrow" and file != "v_Hammering_g02_c01":
                path = folder / "UCF-101" / label / f"{file}.avi"
                write_video(path, frames=8 + number, codec="mpeg4")

    def run(module, *words):
        done = subprocess.run(
            [sys.executable, "-m", f"data_prep.{module}", *words],
            **{"capture_output": True, "text": True, "cwd": ROOT},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = run(
        *("datasets", "--dataset=ucf101", f"--videos={folder / 'UCF-101'}"),
        *(f"--lists={lists}", f"--out={folder / 'ucf101.csv'}"),
    )
    assert said.startswith("ucf101: 3 of 13,320 videos found, 3 listed ones missing")
    out = folder / "prepared"
    run("videos", f"--source={folder / 'ucf101.csv'}", f"--out={out}", "--decoder=pyav")
    return folder / "ucf101.csv", out


def test_folds_and_label_order_of_ucf101(prepared_ucf101):
    for data in map(str, prepared_ucf101):
        videos = open_videos(data, "pyav")
        assert [os.path.basename(video) for video in videos.ids] == [
            "v_Hammering_g01_c01.avi",
            "v_HandStandPushups_g01_c01.avi",
            "v_HandStandPushups_g02_c01.avi",
        ]
        assert videos.label_names == ["Hammering", "class 1 (no video)", "HandstandPushups"]
        assert videos.labels.tolist() == [0, 2, 2]
        assert videos.splits.tolist() == ["train", "train", "test"]
        other = open_videos(data, "pyav", split_column="split2")
        assert other.splits.tolist() == ["test", "test", "train"]
        assert other.fingerprint != videos.fingerprint
        assert open_videos(data, "pyav", split_column="split1").splits.tolist() == (
            videos.splits.tolist()
        )
        # Numbered by name, as any other column.
        assert open_videos(data, "pyav", label_column="split3").label_names == ["test", "train"]
        with pytest.raises(InputError, match='no column "split4"'):
            open_videos(data, "pyav", split_column="split4")
        with pytest.raises(InputError, match="label (of .* )?is 'Hammering'"):
            open_videos(data, "pyav", split_column="label")
    with pytest.raises(InputError, match="--split_column=split2: .* is a folder"):
        open_videos(str(prepared_ucf101[0].parent / "UCF-101"), split_column="split2")


def test_numbers_of_labels_are_part_of_a_sets_identity(prepared_ucf101):
    ucf = prepared_ucf101[0]
    other = ucf.with_name("unnumbered.csv")
    other.write_text(ucf.read_text().replace("class_index", "number"))
    numbered, by_name = (open_videos(str(path), "pyav") for path in (ucf, other))
    assert by_name.label_names == ["Hammering", "HandstandPushups"]
    assert numbered.ids == by_name.ids and numbered.fingerprint != by_name.fingerprint


@pytest.mark.parametrize(
    "indices, error",
    [
        (("0", "0"), "the labels a and b have the same class_index 0"),
        (("0", "one"), "class_index of the label b is 'one'; give whole numbers"),
        (("0", ""), "class_index of the label b is ''"),
        (("0", "-1"), "is '-1'"),
        (("0", "99999999"), "is '99999999'"),
        (("0", "2", "3"), "the label b has the class_index 2 and 3"),
    ],
)
def test_contradictory_class_indices(tmp_path, indices, error):
    rows = [f"{n}.mp4,{label},{index}" for n, (label, index) in enumerate(zip("abb", indices))]
    for number in range(len(rows)):
        write_video(tmp_path / f"{number}.mp4", frames=3)
    (tmp_path / "list.csv").write_text("\n".join(["path,label,class_index", *rows]))
    with pytest.raises(InputError, match=f"list.csv: .*{error}"):
        open_videos(str(tmp_path / "list.csv"), "pyav")


# HMDB51


def test_hmdb51(tmp_path):
    odd = "#1_(Rhythm)_clap!_u_nm_np1_ba_goo_0"
    lists = tmp_path / "splits"
    for n, uses in (("1", "120"), ("2", "201"), ("3", "012")):
        names = (f"{odd}.avi", "x&y_clap.avi", "same.avi")
        text(lists / f"clap_test_split{n}.txt", *(f"{a} {b} " for a, b in zip(names, uses)))
        text(lists / f"brush_hair_test_split{n}.txt", "b.avi 1", "same.avi 2")
    tree(tmp_path, f"hmdb/clap/{odd}.avi", "hmdb/clap/same.avi", "hmdb/brush_hair/same.avi")
    tree(tmp_path, "flat/b.mkv")
    rows, said = listed("hmdb51", tmp_path, lists)
    assert brief(rows, "label", "class_index", "split", "split1", "split2", "split3") == {
        "flat/b.mkv": ("brush_hair", "0", "train", "train", "train", "train"),
        "hmdb/brush_hair/same.avi": ("brush_hair", "0", "test", "test", "test", "test"),
        f"hmdb/clap/{odd}.avi": ("clap", "1", "train", "train", "test", ""),
        "hmdb/clap/same.avi": ("clap", "1", "", "", "train", "test"),
    }
    assert "split1 train: 2 of 2 listed; officially 3,570" in said
    assert (tmp_path / "out.missing.txt").read_text() == "clap/x&y_clap.avi\n"
    assert len(open_source(tmp_path / "out.csv")) == 4
    text(lists / "clap_test_split1.txt", f"{odd}.avi 1", f"{odd}.avi 2")
    with pytest.raises(InputError, match="clap_test_split1.txt line 2: the split1 of .* is test"):
        listed("hmdb51", tmp_path, lists)
    text(lists / "clap_test_split1.txt", f"{odd}.avi 3")
    with pytest.raises(InputError, match="clap_test_split1.txt line 1: ends in '3'"):
        listed("hmdb51", tmp_path, lists)
    with pytest.raises(InputError, match="needs brush_hair_test_split1.txt; found nothing.txt"):
        listed("hmdb51", tmp_path, text(tmp_path / "nothing.txt", "a"))


def open_source(path):
    from vie_tf.data.source import list_source

    return list_source(str(path))


# ImageNet and Places

SYNSETS = ("n01440764", "n01443537", "n02119789")


def images(folder: Path) -> Path:
    tree(folder, *(f"train/{synset}/{synset}_{n}.JPEG" for synset in SYNSETS for n in (1, 2)))
    tree(folder, "train/n01440764/notes.txt", *(f"val/ILSVRC2012_val_{n:08d}.JPEG" for n in (1, 3)))
    return folder


def test_imagenet_in_folders(tmp_path):
    images(tmp_path)
    tree(tmp_path, "val/n02119789/ILSVRC2012_val_00000001.JPEG")
    rows, said = listed("imagenet", tmp_path)
    assert brief(rows, "label", "split", "class_index") == {
        **{
            f"train/{synset}/{synset}_{n}.JPEG": (synset, "train", str(index))
            for index, synset in enumerate(SYNSETS)
            for n in (1, 2)
        },
        "val/n02119789/ILSVRC2012_val_00000001.JPEG": ("n02119789", "test", "2"),
    }
    assert said[:4] == [
        "imagenet: 7 of 1,331,167 images found",
        "3 classes, officially 1000",
        "split test: 1; officially 50,000",
        "split train: 6; officially 1,281,167",
    ]


def ground_truth(folder: Path, *numbers: str) -> str:
    return text(folder / "data" / "ILSVRC2012_validation_ground_truth.txt", *numbers)


def meta_mat(folder: Path) -> str:
    """The devkit's: leaves first, in no order, then inner nodes."""
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")]
    rows = [(1, "n02119789", 0), (2, "n01443537", 0), (3, "n01440764", 0), (1001, "n00001740", 9)]
    table = np.array([np.array(row, dtype=kind) for row in rows]).reshape(-1, 1)
    scipy.io.savemat(folder / "meta.mat", {"synsets": table})
    return str(folder / "meta.mat")


@pytest.mark.parametrize("kind", ["kaggle", "plain", "mapping", "meta.mat"])
def test_imagenet_with_flat_validation_images(tmp_path, kind):
    images(tmp_path)
    lists = [
        text(
            tmp_path / "val.txt",
            *(
                f"val/ILSVRC2012_val_{n:08d}.JPEG {s}"
                for n, s in ((1, "n02119789"), (2, "n01443537"), (3, "n01440764"))
            ),
        )
    ]
    if kind == "kaggle":
        lists = [
            text(
                tmp_path / "LOC_val_solution.csv",
                "ImageId,PredictionString",
                "ILSVRC2012_val_00000003,n01440764 85 1 499 272 ",
                "ILSVRC2012_val_00000001,n02119789 1 2 3 4 n02119789 5 6 7 8",
                "ILSVRC2012_val_00000002,n01443537 1 2 3 4",
            )
        ]
    elif kind != "plain":
        lists = [ground_truth(tmp_path, "1", "2", "3")]
        with pytest.raises(InputError, match="line 1: nothing says which synset .* class 1 is"):
            listed("imagenet", tmp_path, *lists)
        pairs = ("1 n02119789", "2 n01443537", "3 n01440764")
        mapping = text(tmp_path / "mapping.txt", *pairs)
        lists.append(mapping if kind == "mapping" else meta_mat(tmp_path))
    rows, said = listed("imagenet", tmp_path, *lists)
    assert (
        brief(rows, "label", "split", "class_index").items()
        >= {
            "train/n01443537/n01443537_2.JPEG": ("n01443537", "train", "1"),
            "val/ILSVRC2012_val_00000001.JPEG": ("n02119789", "test", "2"),
            "val/ILSVRC2012_val_00000003.JPEG": ("n01440764", "test", "0"),
        }.items()
    )
    assert len(rows) == 8
    assert "split test: 2 of 3 listed, 1 missing (33.3 %); officially 50,000" in said


def test_imagenet_contradictions(tmp_path):
    images(tmp_path)
    lines = ("ILSVRC2012_val_00000001.JPEG n02119789", "ILSVRC2012_val_00000001.JPEG n01440764")
    with pytest.raises(InputError, match="line 2: the label of .* is n01440764, but n02119789 at"):
        listed("imagenet", tmp_path, text(tmp_path / "val.txt", *lines))
    with pytest.raises(InputError, match="meta.mat: is not the devkit's"):
        listed("imagenet", tmp_path, text(tmp_path / "meta.mat", "x"))
    with pytest.raises(InputError, match="needs ILSVRC2012_validation_ground_truth.txt"):
        listed("imagenet", tmp_path, text(tmp_path / "other.txt", "x"))


PLACES = ("a/abbey", "a/apartment_building/outdoor", "t/train_station/platform")


def test_places_in_folders(tmp_path):
    tree(tmp_path, *(f"places/train/{label}/0001.jpg" for label in PLACES))
    tree(tmp_path, "places/val/a/abbey/0001.jpg", "places/0001.jpg")
    rows, said = listed("places", tmp_path)
    assert brief(rows, "label", "split", "class_index") == {
        **{f"places/train/{n}/0001.jpg": (n, "train", str(i)) for i, n in enumerate(PLACES)},
        "places/val/a/abbey/0001.jpg": ("a/abbey", "test", "0"),
    }
    assert said[0] == "places: 4 of 4 images found" and said[1] == "3 classes"
    assert "1 files left out: not listed, or a second copy" in said


@pytest.mark.parametrize("categories", [True, False])
def test_places_with_lists(tmp_path, categories):
    tree(tmp_path, *(f"data_256/{label}/0001.jpg" for label in PLACES))
    tree(tmp_path, "val_256/Places365_val_00000002.jpg", "data_256/a/abbey/0009.jpg")
    lists = tmp_path / "filelist"
    # Not the alphabetical order.
    pairs = [(PLACES[1], 0), (PLACES[0], 1), (PLACES[2], 2)]
    text(lists / "places365_train_standard.txt", *(f"/{label}/0001.jpg {n}" for label, n in pairs))
    text(lists / "places365_val.txt", *(f"Places365_val_0000000{n}.jpg {n}" for n in (1, 2)))
    text(lists / "places365_test.txt", "Places365_test_00000001.jpg")
    if categories:
        text(lists / "categories_places365.txt", *(f"/{label} {n}" for label, n in pairs))
    rows, said = listed("places", tmp_path, lists)
    assert brief(rows, "label", "split", "class_index") == {
        "data_256/a/abbey/0001.jpg": ("a/abbey", "train", "1"),
        "data_256/a/apartment_building/outdoor/0001.jpg": (PLACES[1], "train", "0"),
        "data_256/t/train_station/platform/0001.jpg": (PLACES[2], "train", "2"),
        "val_256/Places365_val_00000002.jpg": (PLACES[2], "test", "2"),
    }
    assert "split test: 1 of 2 listed, 1 missing (50.0 %)" in said
    text(lists / "places365_val.txt", "Places365_val_00000001.jpg 3")
    with pytest.raises(InputError, match="places365_val.txt line 1: there is no class 3"):
        listed("places", tmp_path, lists)
    text(lists / "places365_val.txt", "a/abbey/0001.jpg 1")
    with pytest.raises(InputError, match="the split of a/abbey/0001.jpg is test, but train at"):
        listed("places", tmp_path, lists)


def test_wrong_flags_are_one_line():
    for words in ([], ["--dataset=ucf102", "--videos=x", "--out=y.csv"]):
        done = subprocess.run(
            [sys.executable, "-m", "data_prep.datasets", *words],
            **{"capture_output": True, "text": True, "cwd": ROOT},
        )
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert done.stderr.startswith("data_prep.datasets: ")
