from __future__ import annotations

import os

import numpy as np
import pytest
import tensorflow as tf
from make_videos import number_of, rotate, write_video
from pixels import clip_of

from vie_tf.data.frames import pixels
from vie_tf.data.videos import damage, open_videos
from vie_tf.errors import InputError


def numbers_in(videos, row, frames):
    clip = clip_of(videos, row, frames)
    assert clip.shape == (len(frames), *videos.sizes[row], 3)
    return [number_of(image) for image in clip]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for name in ("b", "a"):
        (folder / name).mkdir()
        write_video(folder / name / "one.mp4", frames=20)
    write_video(folder / "a" / "fast.mp4", frames=40, rate=50)
    rotate(write_video(folder / "turned.mp4", frames=10))
    (folder / "a" / "bad.mp4").write_bytes(np.random.RandomState(0).bytes(999))
    (folder / "notes.txt").write_text("no video")
    return folder


def test_folder(folder, caplog):
    videos = open_videos(str(folder), decoder="pyav")
    assert videos.ids == ["a/fast.mp4", "a/one.mp4", "b/one.mp4", "turned.mp4"]
    assert videos.label_names == ["a", "b"] and videos.labels.tolist() == [0, 0, 1, -1]
    assert videos.splits.tolist() == [""] * 4
    assert videos.sizes.tolist() == [[48, 64]] * 3 + [[64, 48]]
    assert videos.frames.tolist() == [20, 20, 20, 10]
    assert "1 of 5 files left out: a/bad.mp4" in caplog.text
    # At 25 frames/s, half of the 50.
    fast = numbers_in(videos, 0, [0, 1, 10, 19])
    assert fast == pytest.approx([0, 2, 20, 38], abs=1)
    assert numbers_in(videos, 1, [19, 3, 3]) == [19, 3, 3]


def test_reads_inside_a_pipeline(folder):
    videos = open_videos(str(folder), decoder="pyav").subset(np.array([2, 1]))
    frames = tf.constant([7], tf.int64)
    read = videos.read
    dataset = tf.data.Dataset.from_tensor_slices(videos.numbers).map(
        lambda number: pixels(read(number, frames, tf.constant([8, 0, 40, 64]))),
        num_parallel_calls=2,
    )
    clips = list(dataset)
    assert [clip.shape for clip in clips] == [(1, 40, 64, 3)] * 2


def test_subset_and_fingerprint(folder):
    videos = open_videos(str(folder), decoder="pyav")
    part = videos.subset(videos.labels == 0)
    assert part.ids == videos.ids[:2] and part.numbers.tolist() == [0, 1] and len(part) == 2
    again = part.subset(np.array([1]))
    assert again.ids == ["a/one.mp4"] and again.numbers.tolist() == [1]
    assert part.fingerprint != videos.fingerprint == open_videos(str(folder), "pyav").fingerprint


def test_csv(folder, caplog):
    table = folder / "list.csv"
    table.write_text(
        "path,label,split,mood\n"
        "b/one.mp4,y,test,calm\ngone.mp4,y,train,calm\n./a/one.mp4,x,train,wild\n"
    )
    videos = open_videos(str(table), decoder="pyav")
    assert videos.ids == ["b/one.mp4", "a/one.mp4"] and videos.splits.tolist() == ["test", "train"]
    assert [videos.label_names[label] for label in videos.labels] == ["y", "x"]
    assert "1 of 3 files left out: gone.mp4: no such file" in caplog.text
    videos = open_videos(str(table), decoder="pyav", label_column="mood")
    assert [videos.label_names[label] for label in videos.labels] == ["calm", "wild"]
    table.write_text("Path, Label ,Split\nb/one.mp4, y, test\n")
    videos = open_videos(str(table), decoder="pyav")
    assert videos.label_names == ["y"] and videos.splits.tolist() == ["test"]
    table.write_text("path\nb/one.mp4\n")
    videos = open_videos(str(table), decoder="pyav")
    assert videos.labels.tolist() == [-1] and videos.splits.tolist() == [""]


@pytest.mark.parametrize(
    "text, line",
    [
        ("file\na.mp4\n", 'no column "path"'),
        ("path\n", "has no rows"),
        ("", 'no column "path"'),
        ("path\na.mp4\n./a.mp4\n", "rows 2 and 3 are the same path a.mp4"),
        ("path,split\na.mp4,valid\n", "split is 'valid'"),
        ("path,label\n,x\n", "row 2 has no path"),
        ("path\ngone.mp4\n", r"none of 1 files is usable \(gone.mp4: no such file\)"),
    ],
)
def test_bad_csv(tmp_path, text, line):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(InputError, match=line) as caught:
        open_videos(str(tmp_path / "list.csv"), decoder="pyav")
    assert "\n" not in str(caught.value) and "list.csv" in str(caught.value)


def test_bad_folder(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        open_videos(str(tmp_path / "gone"))
    with pytest.raises(InputError, match="no videos"):
        open_videos(str(tmp_path))
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    with pytest.raises(InputError, match="none of 1 files"):
        open_videos(str(tmp_path), decoder="pyav")
    with pytest.raises(InputError, match="neither a folder nor a .csv"):
        open_videos(str(tmp_path / "a.mp4"))
    with pytest.raises(InputError, match="label_column=mood: .* is a folder"):
        open_videos(str(tmp_path), label_column="mood")
    (tmp_path / "frames-00000.tfrecord").write_bytes(b"")
    with pytest.raises(InputError, match="without its dataset.json"):
        open_videos(str(tmp_path))
    (tmp_path / "journal.jsonl").write_text("")
    with pytest.raises(InputError, match="not finished"):
        open_videos(str(tmp_path))


def test_prepared_videos_beside_their_source_are_none_of_it(folder):
    (folder / "prepared").mkdir()
    (folder / "prepared" / "dataset.json").write_text("{}")
    (folder / "prepared" / "frames-00000.tfrecord").write_bytes(b"")
    assert "prepared" not in " ".join(open_videos(str(folder), decoder="pyav").ids)


def test_video_that_breaks_during_training_is_named(tmp_path):
    path = write_video(tmp_path / "a.mp4")
    videos = open_videos(str(tmp_path), decoder="pyav")
    os.remove(path)
    box = tf.constant([0, 0, 48, 64])
    dataset = tf.data.Dataset.from_tensor_slices(videos.numbers).map(
        lambda number: pixels(videos.read(number, tf.constant([0], tf.int64), box))
    )
    with pytest.raises(tf.errors.OpError, match="a.mp4: no such file") as caught:
        list(dataset)
    assert (
        str(damage(caught.value))
        == f"{path}: no such file; restore the file, then the same command goes on"
    )
