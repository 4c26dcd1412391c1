"""Videos that break or vanish while a run trains on them: left out and counted, up to a limit."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from preparing import ROOT, prepare
from words import vie_tf

from data_prep import moving_digits
from vie_tf.data import decoding, files, pipeline
from vie_tf.data.augmentation import VIE_AUGMENTATION
from vie_tf.data.look import first_looks
from vie_tf.data.videos import damage, open_videos, why_unreadable
from vie_tf.errors import InputError
from vie_tf.models.families import sampling_of

TRAIN = ("--image_size=32", "--batch_size=8", "--seed=3", "--precision=float32", "--held_out=0.2")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    moving_digits.make(str(folder), seed=0, limit=20)
    (folder / "videos.csv").unlink()  # all are to train on
    return folder / "videos"


@pytest.fixture(scope="module")
def prepared(digits, tmp_path_factory):
    return prepare(digits, tmp_path_factory.mktemp("prepared") / "set")


@pytest.fixture(scope="module")
def in_shards(digits, tmp_path_factory):
    """As `prepared`, in several shards."""
    out = tmp_path_factory.mktemp("in_shards") / "set"
    small = "from data_prep import finish, videos; finish.SHARD_BYTES = 90000; videos.run()"
    words = (sys.executable, "-c", small, f"--source={digits}", f"--out={out}", "--short_side=48")
    subprocess.run(words, check=True, capture_output=True, cwd=ROOT)
    assert len(list(out.glob("*.tfrecord"))) > 2
    return out


def broken(prepared, folder, rows, frames=slice(None)):
    """A copy of a prepared set in which frames of videos have a flipped bit."""
    shutil.copytree(prepared, folder)
    index = np.load(folder / "index.npz")
    shard = bytearray((folder / "frames-00000.tfrecord").read_bytes())
    for row in rows:
        for offset in index["offset"][index["first"][row] : index["first"][row + 1]][frames]:
            shard[index["start"][row] + offset + 100] ^= 4
    (folder / "frames-00000.tfrecord").write_bytes(shard)
    return folder


def within(seconds, function):
    """What a function returns, in that time: what runs in TensorFlow cannot be interrupted."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert found, f"no answer in {seconds} s, or an error"
    return found[0]


def batches(data, steps):
    videos = open_videos(str(data))
    stream = pipeline.training_batches(videos, sampling_of("slow"), 5, 32, 7, 0, steps)
    return [{name: value.numpy() for name, value in batch.items()} for batch in stream]


def test_all_else_is_as_it_was(prepared, tmp_path):
    whole, found = batches(prepared, 8), batches(broken(prepared, tmp_path / "set", [13]), 8)
    lost = [(i, p) for i, batch in enumerate(whole) for p in np.flatnonzero(batch["index"] == 13)]
    assert len(lost) == 2 and len(whole) == len(found) == 8  # two epochs
    for i, (before, now) in enumerate(zip(whole, found)):
        places = [place for batch, place in lost if batch == i]
        assert np.flatnonzero(now["unreadable"] == 13).tolist() == places
        assert (np.delete(now["unreadable"], places) == -1).all()
        for place in range(5):
            same = (
                place if place not in places else list(before["index"]).index(now["index"][place])
            )
            assert now["index"][place] != 13
            for name in ("clip", "index", "label", "seed"):
                np.testing.assert_array_equal(now[name][place], before[name][same])


def test_a_shard_cut_off_while_it_is_read(prepared, tmp_path):
    whole = batches(prepared, 8)
    shutil.copytree(prepared, tmp_path / "set")
    videos = open_videos(str(tmp_path / "set"))
    shard = tmp_path / "set" / "frames-00000.tfrecord"
    os.truncate(shard, shard.stat().st_size // 2)
    ends = np.load(tmp_path / "set" / "index.npz")["start"][1:]
    gone = 1 + int((ends < shard.stat().st_size).sum())  # of the one before it, a part
    stream = pipeline.training_batches(videos, sampling_of("slow"), 5, 32, 7, 0, 8)
    found = list(stream.as_numpy_iterator())
    assert len(found) == len(whole) == 8
    for before, now in zip(whole, found):
        lost = now["unreadable"] >= 0
        assert (before["index"][lost] == now["unreadable"][lost]).all()
        assert (lost >= (before["index"] >= gone)).all()
        assert (lost <= (before["index"] >= gone - 1)).all()
        np.testing.assert_array_equal(now["clip"][~lost], before["clip"][~lost])
    assert "damaged frame" in why_unreadable(videos, gone)


def test_a_file_that_vanishes_while_it_is_read(digits, tmp_path):
    shutil.copytree(digits, tmp_path / "videos")
    whole = batches(tmp_path / "videos", 8)
    videos = open_videos(str(tmp_path / "videos"))
    (tmp_path / "videos" / videos.ids[3]).unlink()
    stream = pipeline.training_batches(videos, sampling_of("slow"), 5, 32, 7, 0, 8)
    found = list(stream.as_numpy_iterator())
    assert len(found) == len(whole) == 8
    for before, now in zip(whole, found):
        lost = now["unreadable"] >= 0
        assert (lost == (before["index"] == 3)).all()
        np.testing.assert_array_equal(now["clip"][~lost], before["clip"][~lost])
    assert videos.ids[3] in why_unreadable(videos, 3)


def test_a_look_leaves_it_out(prepared, tmp_path, caplog):
    videos = open_videos(str(broken(prepared, tmp_path / "set", [13])))
    looks = first_looks(videos, sampling_of("single"), 32, 3, VIE_AUGMENTATION)
    whole = first_looks(open_videos(str(prepared)), sampling_of("single"), 32, 3, VIE_AUGMENTATION)
    assert len(whole) == len(videos)
    kept = [look for look in whole if look.id != videos.ids[13]]
    assert [look.id for look in looks] == [look.id for look in kept]
    for look, other in zip(looks, kept):
        np.testing.assert_array_equal(look.augmented.pixels, other.augmented.pixels)
        np.testing.assert_array_equal(look.augmented.frames, other.augmented.frames)
    assert videos.ids[13] in caplog.text


def test_a_look_leaves_out_a_bad_frame(prepared, tmp_path, caplog):
    """The middle one, which the plain clip shows, and the augmented one does not."""
    data = broken(prepared, tmp_path / "set", [13], frames=[12])
    looks = first_looks(open_videos(str(data)), sampling_of("single"), 32, 3, VIE_AUGMENTATION)
    whole = first_looks(open_videos(str(prepared)), sampling_of("single"), 32, 3, VIE_AUGMENTATION)
    lost = open_videos(str(prepared)).ids[13]
    assert [
        (look.plain.frames, look.augmented.frames == 12) for look in whole if look.id == lost
    ] == [(12, False)]
    kept = [look for look in whole if look.id != lost]
    assert [look.id for look in looks] == [look.id for look in kept]
    for look, other in zip(looks, kept):
        for clip, same in ((look.plain, other.plain), (look.augmented, other.augmented)):
            np.testing.assert_array_equal(clip.pixels, same.pixels)
            np.testing.assert_array_equal(clip.frames, same.frames)
    assert caplog.text.count("left out") == 1 and lost in caplog.text


def test_a_look_at_nothing_is_one_line(prepared, tmp_path):
    data = broken(prepared, tmp_path / "set", range(20), frames=[12])
    with pytest.raises(InputError, match="none of 20 videos can be read"):
        first_looks(open_videos(str(data)), sampling_of("single"), 32, 3, VIE_AUGMENTATION)


def test_a_repeatable_evaluation_reads_side_by_side(prepared, monkeypatch):
    """Determinism makes TensorFlow serial where it takes a step for one with side effects."""
    read, under_way, most = files.read_ranges, [], [0]

    def slowly(*words):
        under_way.append(words)
        most[0] = max(most[0], len(under_way))
        time.sleep(0.01)
        under_way.pop()
        return read(*words)

    monkeypatch.setattr(files, "read_ranges", slowly)
    tf.config.experimental.enable_op_determinism()
    clips = pipeline.TestClips(sampling_of("slow"), 32)
    stream = pipeline.test_batches(open_videos(str(prepared)), clips)
    assert sum(len(batch["index"]) for batch in stream) == 5 * 20
    assert most[0] > 1


def test_training_leaves_a_broken_video_out(prepared, tmp_path, capsys):
    data = broken(prepared, tmp_path / "set", [13])
    words = (f"--data={data}", f"--workdir={tmp_path / 'run'}", *TRAIN, "--log_every=1")
    words += ("--evaluate_every=900", "--save_every=3")
    videos = open_videos(str(data))
    vie_tf(*words, "--steps=6", "--max_unreadable=1")  # several clips, but one video
    said = capsys.readouterr().err
    assert said.count("left out damaged frame in prepared video") == 1
    assert f"left out damaged frame in prepared video {videos.ids[13]}" in said
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    counts = [line["unreadable"] for line in map(json.loads, metrics) if "unreadable" in line]
    assert counts[0] <= 1 and counts[-1] >= 2 and sorted(counts) == counts
    newest = tf.train.latest_checkpoint(str(tmp_path / "run" / "checkpoints"))
    visited = tf.train.load_variable(newest, "bank/visited/.ATTRIBUTES/VARIABLE_VALUE")
    assert (visited == 0).sum() == 1
    with pytest.raises(
        InputError, match="1 videos could not be read, more than --max_unreadable=0"
    ):
        vie_tf(*words, "--steps=12", "--max_unreadable=0")
    newest = tf.train.latest_checkpoint(str(tmp_path / "run" / "checkpoints"))
    assert 6 < int(newest.rpartition("-")[2]) < 12


def test_on_a_gpu_lost_videos_are_told_with_the_log(prepared, tmp_path, as_on_gpu, capsys):
    """Not before, as the host would have to wait."""
    lost = broken(prepared, tmp_path / "set", [13])
    words = (f"--data={lost}", f"--workdir={tmp_path / 'run'}", *TRAIN, "--noxla", "--steps=6")
    vie_tf(*words, "--log_every=3", "--evaluate_every=900", "--save_every=900")
    said = capsys.readouterr().err
    assert said.count("left out damaged frame") == 1
    assert "step 3: left out" in said or "step 6: left out" in said
    lines = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert [x["unreadable"] > 0 for x in lines if "unreadable" in x][-1]


def test_training_with_a_shard_cut_off_before(in_shards, tmp_path, capsys, caplog):
    shutil.copytree(in_shards, tmp_path / "set")
    index, shard = np.load(in_shards / "index.npz"), tmp_path / "set" / "frames-00001.tfrecord"
    whole, lost = shard.stat().st_size, np.flatnonzero(index["shard"] == 1)[-1]
    size = int(index["start"][lost]) + 5
    os.truncate(shard, size)
    what = f"frames-00001.tfrecord has {size} bytes instead of {whole}"
    with pytest.raises(InputError, match=what):
        open_videos(str(tmp_path / "set"))
    words = (f"--data={tmp_path / 'set'}", f"--workdir={tmp_path / 'run'}", *TRAIN, "--log_every=1")
    words += ("--held_out=0", "--bin_frames=13", "--steps=11", "--max_unreadable=1")
    words += ("--evaluate_every=900", "--save_every=900")
    vie_tf(*words)  # more than two epochs; of the lost video both bins
    assert caplog.text.count("cut off") == 1
    assert f"1 videos are cut off or gone, and left out: {what} (1 videos)" in caplog.text
    assert capsys.readouterr().err.count("left out damaged frame") == 1
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert max(json.loads(line).get("unreadable", 0) for line in metrics) >= 4
    newest = tf.train.latest_checkpoint(str(tmp_path / "run" / "checkpoints"))
    visited = tf.train.load_variable(newest, "bank/visited/.ATTRIBUTES/VARIABLE_VALUE")
    assert np.flatnonzero(visited == 0).tolist() == [2 * lost, 2 * lost + 1]


def test_shards_that_are_missing_or_too_long(in_shards, tmp_path, caplog):
    """What is there is as it was; one line tells of all."""
    shutil.copytree(in_shards, tmp_path / "set")
    (tmp_path / "set" / "frames-00000.tfrecord").unlink()
    with open(tmp_path / "set" / "frames-00001.tfrecord", "ab") as file:
        file.write(b"more")
    with pytest.raises(InputError, match="frames-00000.tfrecord is missing"):
        open_videos(str(tmp_path / "set"))
    videos, gone = open_videos(str(tmp_path / "set"), skips=True), _of_shard(in_shards, 0)
    assert len(caplog.records) == 1 and f": {len(gone)} videos are cut off or gone" in caplog.text
    assert f"is missing ({len(gone)} videos); frames-00001.tfrecord has " in caplog.text
    assert caplog.text.count("(0 videos)") == 1
    stream = pipeline.training_batches(videos, sampling_of("slow"), 20, 32, 7, 0, 1)
    batch = next(stream.as_numpy_iterator())
    assert sorted(batch["unreadable"][batch["unreadable"] >= 0]) == gone
    assert not set(batch["index"]) & set(gone)
    assert "No such file" in why_unreadable(videos, gone[0])


def _of_shard(data, number):
    return np.flatnonzero(np.load(data / "index.npz")["shard"] == number).tolist()


def test_storage_that_goes_away_costs_no_step(digits, tmp_path, monkeypatch):
    read, calls = decoding.read_frames, itertools.count()

    def breaks(*words):
        if next(calls) > 300:  # of which the untrained network's evaluation takes about 50
            raise decoding.DecodingError("gone")
        return read(*words)

    monkeypatch.setattr(decoding, "read_frames", breaks)
    words = (f"--data={digits}", f"--workdir={tmp_path / 'run'}", *TRAIN, "--evaluate_every=900")
    with pytest.raises(tf.errors.OpError) as caught:
        vie_tf(*words, "--steps=1000", "--save_every=900", "--max_unreadable=1000")
    assert "no clip of a batch could be read" in str(damage(caught.value)), caught.value.message
    saved = tf.train.latest_checkpoint(str(tmp_path / "run" / "checkpoints"))
    logged = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1]
    step = int(saved.rpartition("-")[2])
    assert step and step - json.loads(logged)["step"] in range(10)


@pytest.fixture(scope="module")
def service():
    """The address of a dispatcher with two workers, each a process."""

    def start(*words):
        words = (sys.executable, "-m", "vie_tf.data.service", *words)
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        return process, process.stdout.readline().split()[-1]

    processes = [start()]
    try:
        address = processes[0][1]
        processes += [start(f"--dispatcher={address.split('/')[-1]}") for _ in range(2)]
        yield address
    finally:
        for process, _ in processes:
            process.kill()
            process.wait()


def test_a_service_makes_the_same_batches(prepared, service):
    videos = open_videos(str(prepared))
    words = (videos, sampling_of("slow"), 4, 32, 7, 2, 22)
    key = {
        batch["index"].numpy().tobytes(): batch["clip"].numpy()
        for batch in pipeline.training_batches(*words)
    }
    count = 0
    for batch in pipeline.training_batches(*words, service=service):
        expected = key.pop(batch["index"].numpy().tobytes())
        np.testing.assert_array_equal(batch["clip"], expected)
        count += 1
    assert count == 20 and not key


def test_a_service_leaves_out_what_it_cannot_see(in_shards, tmp_path, service):
    shutil.copytree(in_shards, tmp_path / "set")
    videos, gone = open_videos(str(tmp_path / "set")), _of_shard(in_shards, 1)
    (tmp_path / "set" / "frames-00001.tfrecord").unlink()
    stream = pipeline.training_batches(
        videos, sampling_of("slow"), 20, 32, 7, 0, 2, service=service
    )
    found = within(60, lambda: list(stream.as_numpy_iterator()))
    assert len(found) == 2  # an epoch each
    for batch in found:
        assert sorted(batch["unreadable"][batch["unreadable"] >= 0]) == gone
        assert not set(batch["index"]) & set(gone)


def test_a_record_that_a_service_cannot_read(in_shards, tmp_path):
    """Where a worker reads, each kind of failing is one answer, and at once."""
    shutil.copytree(in_shards, tmp_path / "set")
    videos, shard = open_videos(str(tmp_path / "set")), tmp_path / "set" / "frames-00000.tfrecord"
    frames, box = tf.constant([0, 5], tf.int64), tf.constant([0, 0, 48, 48])
    read = tf.data.Dataset.from_tensors(tf.constant(0, tf.int64)).map(
        lambda number: videos.read(number, frames, box, portable=True).problem
    )
    index, whole = np.load(in_shards / "index.npz"), shard.read_bytes()
    place = int(index["start"][0] + index["offset"][5])

    def problem():
        return within(60, lambda: next(read.as_numpy_iterator())).decode()

    assert problem() == ""
    for data in (
        whole[: place + 20],  # cut off
        whole[:place],  # the record lies beyond the end
        whole[:place] + b"\0" + whole[place + 1 :],
        whole[: place + 50] + b"\0" + whole[place + 51 :],
    ):
        assert data != whole
        shard.write_bytes(data)
        assert f"{videos.ids[0]} cannot be read from shard {shard}" in problem()
    shard.unlink()
    assert "cannot be read" in problem()
    shard.mkdir()
    assert "cannot be read" in problem()


@pytest.mark.parametrize(
    "address, says",
    [("localhost:1", "grpc://HOST:PORT"), ("grpc://localhost:1", "no answer")],
)
def test_a_service_that_is_not_there(prepared, tmp_path, address, says):
    words = (f"--data={prepared}", f"--workdir={tmp_path}", *TRAIN, f"--data_service={address}")
    with pytest.raises(InputError, match=says):
        vie_tf(*words)


def test_a_service_wants_prepared_videos(digits, tmp_path):
    words = (f"--data={digits}", f"--workdir={tmp_path}", *TRAIN, "--data_service=grpc://x:1")
    with pytest.raises(InputError, match="is not prepared"):
        vie_tf(*words)
