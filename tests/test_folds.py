"""Folds and numbers of classes, from a data set's lists to the videos that are opened."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from listing import UCF, ucf101
from make_videos import write_video
from preparing import ROOT

from vie_tf.data.videos import open_videos
from vie_tf.errors import InputError


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
