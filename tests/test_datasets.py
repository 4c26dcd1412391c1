"""Known data sets of videos from miniature trees of what people download."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from listing import UCF, brief, listed, text, tree, ucf101
from preparing import ROOT

from vie_tf.data.source import list_source
from vie_tf.errors import InputError

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
        f"copy/{ID[0]}_95.mp4": ("skiing (not slalom or crosscountry)", "train", "2"),
        f"test/{ID[4]}_7_17.mp4": ("", "", ""),
        f"train/massaging persons head/{ID[2]}_000020.mkv": (
            *("massaging person's head", "train", "0"),
        ),
        f"train/skiing crosscountry/{ID[1]}_5.avi": ("skiing crosscountry", "train", "1"),
        f"val/{ID[3]}.webm": ("skiing crosscountry", "test", "1"),
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
    assert len(list_source(str(tmp_path / "out.csv"))) == 4
    text(lists / "clap_test_split1.txt", f"{odd}.avi 1", f"{odd}.avi 2")
    with pytest.raises(InputError, match="clap_test_split1.txt line 2: the split1 of .* is test"):
        listed("hmdb51", tmp_path, lists)
    text(lists / "clap_test_split1.txt", f"{odd}.avi 3")
    with pytest.raises(InputError, match="clap_test_split1.txt line 1: ends in '3'"):
        listed("hmdb51", tmp_path, lists)
    with pytest.raises(InputError, match="needs brush_hair_test_split1.txt; found nothing.txt"):
        listed("hmdb51", tmp_path, text(tmp_path / "nothing.txt", "a"))


def test_wrong_flags_are_one_line():
    for words in ([], ["--dataset=ucf102", "--videos=x", "--out=y.csv"]):
        done = subprocess.run(
            [sys.executable, "-m", "data_prep.datasets", *words],
            **{"capture_output": True, "text": True, "cwd": ROOT},
        )
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert done.stderr.startswith("data_prep.datasets: ")
