from __future__ import annotations

import io
import json
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pixels import clip_of

from vie_tf.data import prepared
from vie_tf.data.frames import pixels
from vie_tf.data.videos import damage, open_videos
from vie_tf.errors import InputError

HEIGHT, WIDTH = 40, 56


@pytest.fixture
def folder(tmp_path):
    """Two videos of 5 and 4 frames; the second one shows its frame 1 twice."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (8, HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    records = []
    for image in images.repeat(4, 1).repeat(4, 2):
        jpeg = io.BytesIO()
        Image.fromarray(image).save(jpeg, "JPEG", quality=90)
        records.append(prepared.record(jpeg.getvalue()))
    ends = np.cumsum([0] + [len(record) for record in records])
    (tmp_path / "frames-00000.tfrecord").write_bytes(b"".join(records))
    second = ends[5:8] - ends[5]
    np.savez(
        tmp_path / "index.npz",
        shard=np.zeros(2, np.int32),
        start=ends[[0, 5]],
        first=np.array([0, 5, 9]),
        offset=np.concatenate([ends[:5], second[[0, 1, 1, 2]]]).astype(np.int32),
        size=np.array([[HEIGHT, WIDTH]] * 2, np.int32),
    )
    (tmp_path / "manifest.csv").write_text(
        "path,index,label,split,status,mood,source_bytes\n"
        "a.mp4,0,cat,train,kept,calm,77\nbad.mp4,,,,skipped,,\nb.mp4,1,,test,kept,wild,78\n"
    )
    names = ("frames-00000.tfrecord", "index.npz", "manifest.csv")
    files = {name: os.path.getsize(tmp_path / name) for name in names}
    description = {"format": prepared.FORMAT, "version": prepared.VERSION, "files": files}
    description["request"] = {"fps": 25.0}
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    return str(tmp_path)


def plain(folder):
    """All frames by TensorFlow's own reader."""
    file = os.path.join(folder, "frames-00000.tfrecord")
    options = {"channels": 3, "dct_method": "INTEGER_ACCURATE"}
    return [tf.io.decode_jpeg(r, **options).numpy() for r in tf.data.TFRecordDataset(file)]


def test_tensorflow_reads_our_records(tmp_path):
    data = [os.urandom(size) for size in (0, 1, 3, 4, 5, 63, 64, 65, 127, 128, 129, 1000, 70000)]
    (tmp_path / "a").write_bytes(b"".join(map(prepared.record, data)))
    assert [r.numpy() for r in tf.data.TFRecordDataset(str(tmp_path / "a"))] == data


def test_reads_any_frames_inside_a_pipeline(folder):
    videos, frames = open_videos(folder), plain(folder)
    assert videos.ids == ["a.mp4", "b.mp4"] and videos.frames.tolist() == [5, 4]
    assert videos.splits.tolist() == ["train", "test"]
    box = tf.constant([0, 0, HEIGHT, WIDTH])

    def clip(number):
        return pixels(videos.read(number, tf.constant([3, 0, 0], tf.int64), box))

    dataset = tf.data.Dataset.from_tensor_slices(videos.numbers).map(clip)
    assert dataset.element_spec.shape.as_list() == [3, HEIGHT, WIDTH, 3]
    first, second = dataset.as_numpy_iterator()
    np.testing.assert_array_equal(first, [frames[3], frames[0], frames[0]])
    np.testing.assert_array_equal(second, [frames[7], frames[5], frames[5]])
    np.testing.assert_array_equal(clip_of(videos, 1, [1, 2]), [frames[6], frames[6]])


def test_box(folder):
    videos = open_videos(folder)
    box = tf.constant([5, 9, 16, 24])
    frames = videos.read(tf.constant(0, tf.int64), tf.constant([2], tf.int64), box)
    clip = pixels(frames).numpy()
    whole = plain(folder)[2][5:21, 9:33].astype(int)
    assert clip.shape == (1, 16, 24, 3)
    # Only the smooth colour upsampling at the edge of the box may differ.
    assert np.abs(clip[0, :, 2:-2] - whole[:, 2:-2]).max() <= 2


@pytest.mark.skipif(not os.path.exists("/proc/self/io"), reason="counts bytes as Linux does")
def test_reads_no_more_than_the_frames_used(folder):
    videos = open_videos(folder)
    box = tf.constant([0, 0, HEIGHT, WIDTH])
    read = tf.function(lambda n: pixels(videos.read(n, tf.constant([1, 3], tf.int64), box)))

    def bytes_read():
        with open("/proc/self/io") as file:
            return int(file.readline().split()[1])

    read(tf.constant(0, tf.int64))
    overhead = -bytes_read() + bytes_read()
    before = bytes_read()
    for _ in range(20):
        read(tf.constant(0, tf.int64))
    index = prepared.read_index(folder)
    used = 20 * sum(np.diff(index["offset"][:5])[[1, 3]])
    assert used <= bytes_read() - before - overhead <= 1.02 * used + 4096


@pytest.mark.parametrize("portable", [False, True])
def test_damaged_frame_is_an_error_that_names_the_video(folder, portable):
    videos = open_videos(folder)
    index = prepared.read_index(folder)
    with open(os.path.join(folder, "frames-00000.tfrecord"), "r+b") as file:
        file.seek(int(index["start"][1] + index["offset"][6]) + 100)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    box = tf.constant([0, 0, HEIGHT, WIDTH])

    def second(frames):
        frames = tf.constant(frames, tf.int64)
        read = lambda n: pixels(videos.read(n, frames, box, portable))  # noqa: E731
        return list(tf.data.Dataset.range(1, 2).map(read))

    second([0, 3])
    with pytest.raises(tf.errors.OpError) as caught:
        second([0, 1])
    byte, shard = index["start"][1] + index["offset"][6], f"{folder}/frames-00000.tfrecord"
    says = f"damaged frame in prepared video b.mp4 shard {shard} byte {byte}"
    if portable:
        says = f"a frame of prepared video b.mp4 cannot be read from shard {shard}"
    again = "; copy that file again, or prepare the videos again"
    assert str(damage(caught.value)) == says + again


def test_labels_of_any_column(folder):
    videos = open_videos(folder)
    assert videos.label_names == ["cat"] and videos.labels.tolist() == [0, -1]
    videos = open_videos(folder, label_column="mood")
    assert videos.label_names == ["calm", "wild"] and videos.labels.tolist() == [0, 1]
    with pytest.raises(InputError, match='no column "colour"'):
        open_videos(folder, label_column="colour")


@pytest.mark.parametrize("name", ["dataset.json", "index.npz", "manifest.csv"])
def test_damage_is_one_line_or_none(folder, name):
    path, random = os.path.join(folder, name), np.random.default_rng(0)
    whole, lines = open(path, "rb").read(), set()
    description = json.load(open(os.path.join(folder, "dataset.json")))
    for number in range(200):
        data = bytearray(whole)
        if number % 4:
            data[random.integers(len(data))] ^= 1 << random.integers(8)
        else:  # as long as before, as a copy on a full disk may be
            data[random.integers(len(data)) :] = b""
            data += bytes(len(whole) - len(data)) if name != "dataset.json" else b""
        open(path, "wb").write(data)
        try:
            videos = open_videos(folder)
        except InputError as error:
            lines.add(str(error))
            continue
        assert name != "index.npz" or bytes(data) == whole or videos.frames.tolist() == [5, 4]
        assert len(videos) == 2 and set(videos.splits) == {"train", "test"}
    assert lines and all(line.startswith(folder) and "\n" not in line for line in lines)
    assert description["files"]["index.npz"] == os.path.getsize(os.path.join(folder, "index.npz"))


def test_damaged_shard_is_named_by_every_frame_that_it_spoils(folder):
    shard, random = os.path.join(folder, "frames-00000.tfrecord"), np.random.default_rng(0)
    whole, frames = open(shard, "rb").read(), plain(folder)
    index, spoilt = prepared.read_index(folder), 0
    starts = index["start"].repeat(np.diff(index["first"])) + index["offset"]
    box = tf.constant([0, 0, HEIGHT, WIDTH])
    videos = open_videos(folder)
    read = tf.function(lambda *where: pixels(videos.read(*where)))
    for _ in range(40):
        place = random.integers(len(whole))
        data = bytearray(whole)
        data[place] ^= 1 << random.integers(8)
        open(shard, "wb").write(data)
        hit = np.unique(starts)[np.searchsorted(np.unique(starts), place, "right") - 1]
        for row, frame in ((0, 0), (0, 3), (1, 1), (1, 3)):
            where = index["first"][row] + frame
            try:
                found = read(tf.constant(row, tf.int64), tf.constant([frame], tf.int64), box)
                assert starts[where] != hit
                same = np.unique(starts).tolist().index(starts[where])
                np.testing.assert_array_equal(found[0], frames[same])
            except tf.errors.OpError as error:
                assert starts[where] == hit and damage(error) is not None
                spoilt += 1
    assert spoilt > 5


def test_other_version_and_truncation_are_refused(folder):
    shard = os.path.join(folder, "frames-00000.tfrecord")
    whole = open(shard, "rb").read()
    open(shard, "wb").write(whole[:-7])
    with pytest.raises(InputError, match=f"has {len(whole) - 7} bytes instead of {len(whole)}"):
        open_videos(folder)
    os.remove(shard)
    with pytest.raises(InputError, match="frames-00000.tfrecord is missing"):
        open_videos(folder)
    open(shard, "wb").write(whole)
    manifest = os.path.join(folder, "manifest.csv")
    rows = open(manifest).read()
    open(manifest, "w").write(rows.replace("kept", "kepd", 1))
    with pytest.raises(InputError, match="manifest.csv is damaged"):
        open_videos(folder)
    path = os.path.join(folder, "dataset.json")
    description = json.load(open(path))
    json.dump({**description, "version": 9}, open(path, "w"))
    with pytest.raises(InputError, match="version 9"):
        open_videos(folder)
    open(path, "w").write("{")
    with pytest.raises(InputError, match="dataset.json cannot be read"):
        open_videos(folder)
