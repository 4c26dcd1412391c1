from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from make_videos import write_video
from pixels import clip_of
from servers import s3, web
from words import vie_tf

from vie_tf.data import files, prepared
from vie_tf.data.records import Places
from vie_tf.data.videos import damage, open_videos
from vie_tf.errors import InputError

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def run(program, *words, **environment):
    """A Python program in a process of its own, since TensorFlow reads the environment once."""
    return subprocess.run(
        [sys.executable, *program, *words],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six prepared videos in three shards; one repeats frames."""
    folder = tmp_path_factory.mktemp("remote")
    (folder / "in").mkdir()
    for number in range(5):
        write_video(folder / "in" / f"v{number}.mp4", frames=20 + number)
    write_video(folder / "in" / "slow.mkv", frames=5, times=np.arange(5) / 5)
    small = "from data_prep import finish, videos; finish.SHARD_BYTES = 30000; videos.run()"
    words = (f"--source={folder / 'in'}", f"--out={folder / 'set'}", "--short_side=40")
    done = run(["-c", small], *words)
    assert done.returncode == 0, done.stderr
    assert (folder / "set" / "frames-00002.tfrecord").exists()
    return folder


def one_line(address):
    with pytest.raises(InputError) as caught:
        open_videos(address)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(address)
    return str(caught.value)


def test_places_of_records(folder):
    index = prepared.read_index(str(folder / "set"))
    places = Places(index, prepared.read_description(str(folder / "set"))["files"])
    for video, frames in enumerate(np.diff(index["first"])):
        found = places(video, np.arange(frames))
        with open(folder / "set" / prepared.shard_name(index["shard"][video]), "rb") as shard:
            for start, length in found:
                shard.seek(start)
                assert int.from_bytes(shard.read(8), "little") + 16 == length


def test_a_frame_from_a_web_server_is_one_request(folder):
    local = open_videos(str(folder / "set"))
    with web(folder) as server:
        videos = open_videos(f"{server.address}/set/")
        assert videos.fingerprint == local.fingerprint
        opening = [asked[:2] for asked in server.asked]
        assert len(opening) == 3 + 5  # three small files are read, five are asked for their size
        assert not any(m == "GET" and "frames" in path for m, path in opening)
        server.asked.clear()
        for row in range(len(local)):
            for frames in ([0], [2, 12, local.frames[row] - 1]):
                np.testing.assert_array_equal(
                    clip_of(videos, row, frames), clip_of(local, row, frames)
                )
        assert len(server.asked) == 4 * len(local)
        server.asked.clear()
        clip_of(videos, 1, [5, 4, 6, 7, 4])
        assert len(server.asked) == 1  # they lie one after the other
        assert {asked[3] for asked in server.asked} == {206}


def test_training_from_a_web_server(folder, tmp_path, capsys):
    shape = ("--image_size=32", "--batch_size=2", "--k=1", "--noise_samples=4")
    with web(folder) as server:
        data = f"--data={server.address}/set"
        vie_tf("--mode=pretrain", data, f"--workdir={tmp_path}", "--steps=2", *shape)
        assert all(asked[3] in (200, 206) for asked in server.asked)
    assert json.loads((tmp_path / "data.json").read_text())["data"] == f"{server.address}/set"


def test_web_server_without_the_set(folder):
    with web(folder) as server:
        assert "HTTP 404" in one_line(f"{server.address}/no")
        server.answers["dataset.json"] = 403
        assert "HTTP 403" in one_line(f"{server.address}/set")
        server.answers = {"frames-00001.tfrecord": 404}
        os.rename(folder / "set/frames-00001.tfrecord", folder / "away")
        try:
            assert "frames-00001.tfrecord is missing" in one_line(f"{server.address}/set")
        finally:
            os.rename(folder / "away", folder / "set/frames-00001.tfrecord")


def test_web_server_that_fails_while_reading(folder):
    with web(folder) as server:
        videos = open_videos(f"{server.address}/set")
        server.ranges = False
        with pytest.raises(tf.errors.OpError) as caught:
            clip_of(videos, 0, [0])
        assert "does not send ranges of bytes" in str(damage(caught.value))
        server.ranges, server.answers["frames-00000.tfrecord"] = True, 404
        with pytest.raises(tf.errors.OpError) as caught:
            clip_of(videos, 0, [0])
        assert "HTTP 404" in str(damage(caught.value))
        assert "the same command goes on" in str(damage(caught.value))


def test_damaged_record_from_a_web_server(folder):
    with web(folder) as server:
        videos = open_videos(f"{server.address}/set")
        shard = folder / "set" / "frames-00000.tfrecord"
        whole = shard.read_bytes()
        shard.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
        try:
            with pytest.raises(tf.errors.OpError) as caught:
                clip_of(videos, 0, [0])
        finally:
            shard.write_bytes(whole)
    assert "damaged frame in prepared video slow.mkv" in str(damage(caught.value))


def test_host_that_does_not_answer():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        began = time.monotonic()
        line = one_line(f"http://127.0.0.1:{free.getsockname()[1]}/set")
    assert "refused" in line and time.monotonic() - began < 30


def test_unknown_file_system():
    assert "s3:// needs pip install s3fs" in one_line("nope://bucket/set")


def opened(address, **environment):
    """The line that a process in this environment prints instead of opening a set."""
    code = (
        "import sys; from vie_tf.data.videos import open_videos; from vie_tf.errors import *\n"
        "try: open_videos(sys.argv[1])\n"
        "except InputError as error: sys.exit(str(error))"
    )
    began = time.monotonic()
    done = run(["-c", code], address, **environment)
    assert done.returncode == 1 and time.monotonic() - began < 40
    return done.stderr.splitlines()[-1]


def test_s3(folder, tmp_path):
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    local = prepared.read_description(str(folder / "set"))["files"]
    with s3() as (environment, asked):
        done = run(["tests/read_s3.py"], str(folder / "set"), **environment)
        assert done.returncode == 0, done.stderr
        ranges = [each[2] for each in asked if each[0] == "GET" and "frames-" in each[1]]
        assert len(ranges) == 4  # frames that were read: one request each
        index = prepared.read_index(str(folder / "set"))
        places = Places(index, local)
        lengths = {
            length
            for video, frames in enumerate(np.diff(index["first"]))
            for _, length in places(video, np.arange(frames))
        }
        for each in ranges:
            first, last = map(int, each.removeprefix("bytes=").split("-"))
            assert last - first + 1 in lengths
        assert "no such file" in opened("s3://bucket/no", **environment)
        assert "no such file" in opened("s3://nobucket/set", **environment)
    assert "connect" in opened("s3://bucket/set", **environment)  # it has stopped


def test_whole_file_or_none(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), files.whole(str(path)) as part:
        with open(part, "w") as file:
            file.write("new")
        1 / 0  # noqa: B018
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a"]
    with files.whole(str(path)) as part, open(part, "w") as file:
        file.write("new")
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a"]
