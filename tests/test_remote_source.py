"""Preparing videos that lie on a web server or in an object store."""

from __future__ import annotations

import csv
import io
import os
import socket
import sys
import threading

import pytest
from make_videos import write_video
from PIL import Image
from preparing import contents, outcome
from servers import s3, web

from vie_tf.data import files
from vie_tf.data.source import list_source
from vie_tf.errors import InputError


@pytest.fixture(params=["videos", "beam"])
def program(request):
    if request.param == "beam":
        pytest.importorskip("apache_beam")
    return request.param


def prepare(program, source, out):
    flags = (f"--source={source}", f"--out={out}", "--short_side=40", "--decoder=pyav")
    return outcome([sys.executable, "-m", f"data_prep.{program}", *flags])


def reasons(folder):
    with open(folder / "manifest.csv", newline="") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


@pytest.fixture
def folder(tmp_path):
    """Videos and an image, a damaged one, one that is not there; and a CSV of them."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    names = ("a.mp4", "sub/b 100%#1.mp4", "c.mkv", "gone.mp4", "bad.avi", "empty.mp4", "still.PNG")
    for number, name in enumerate(names[:3]):
        write_video(tmp_path / "in" / name, frames=20 + number)
    (tmp_path / "in" / "bad.avi").write_bytes(b"x" * 100)
    (tmp_path / "in" / "empty.mp4").write_bytes(b"")
    Image.new("RGB", (64, 48), "red").save(tmp_path / "in" / "still.PNG")
    with open(tmp_path / "in" / "list.csv", "w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *((name, "x") for name in names)])
    return tmp_path / "in"


def test_a_web_server_gives_the_same_bytes(program, folder, tmp_path):
    code, _, error = prepare(program, folder / "list.csv", tmp_path / "local")
    assert code == 0, error
    with web(folder) as server:
        server.answers["a.mp4"] = [403]  # the first time only
        code, last, error = prepare(program, f"{server.address}/list.csv", tmp_path / "remote")
        assert code == 0, error
        asked = [path for method, path, *_ in server.asked if method == "GET"]
        code, again, error = prepare(program, f"{server.address}/list.csv", tmp_path / "remote")
        assert code == 0 and "finished already" in again, error
    assert last.startswith("4 videos prepared, 3 skipped")
    assert contents(tmp_path / "remote") == contents(tmp_path / "local")
    assert reasons(tmp_path / "local")["gone.mp4"] == "no such file"
    assert asked.count("/a.mp4") == 2 and asked.count("/c.mkv") == 1


def test_download_that_fails(program, folder, tmp_path):
    with web(folder) as server:
        server.answers = {"a.mp4": 403, "list.csv": 403}
        code, _, error = prepare(program, f"{server.address}/list.csv", tmp_path / "out")
        assert code == 1 and "cannot be read as CSV" in error and "HTTP 403" in error
        del server.answers["list.csv"]
        code, last, error = prepare(program, f"{server.address}/list.csv", tmp_path / "out")
        assert code == 0 and last.startswith("3 videos prepared, 4 skipped"), error
    assert reasons(tmp_path / "out")["a.mp4"] == "cannot be read: HTTP 403 Forbidden; tried twice"
    code, _, error = prepare(program, f"{server.address}/list.csv", tmp_path / "other")
    assert code == 1 and "refused" in error.splitlines()[-1]


def test_addresses_in_a_local_csv(folder, tmp_path):
    with web(folder) as server:
        addresses = [f"{server.address}/a.mp4", f"{server.address}/still.PNG?signature=1"]
        table = tmp_path / "list.csv"
        table.write_text("\n".join(["path", *addresses, "in/c.mkv", str(folder / "bad.avi")]))
        assert [video.id for video in list_source(str(table))][:3] == [*addresses, "in/c.mkv"]
        code, last, error = prepare("videos", table, tmp_path / "out")
    assert code == 0 and last.startswith("3 videos prepared, 1 skipped"), error


def test_object_store(program, folder, tmp_path, monkeypatch):
    s3fs = pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    code, _, error = prepare(program, folder / "list.csv", tmp_path / "local")
    assert code == 0, error
    with s3() as (environment, _):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        store = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
        bucket = f"source-{program}"
        store.mkdir(bucket)
        store.put(f"{folder}/", f"{bucket}/set/", recursive=True)
        code, _, error = prepare(program, f"s3://{bucket}/set/list.csv", tmp_path / "remote")
    assert code == 0, error
    assert contents(tmp_path / "remote") == contents(tmp_path / "local")


def test_remote_folder_is_one_line():
    with pytest.raises(InputError, match="give the address of a .csv"):
        list_source("https://host/folder")


def test_where_names_of_a_remote_csv_lie(monkeypatch):
    table = b"path\na.mp4\n../b #1.mp4\ns3://c/d//e.mp4\n/abs/f.mp4\n"
    monkeypatch.setattr(files, "read", lambda path: table)
    found = [video.path for video in list_source("http://host/x/list.csv")]
    assert found == [
        *("http://host/x/a.mp4", "http://host/b%20%231.mp4", "s3://c/d//e.mp4", "/abs/f.mp4")
    ]
    assert list_source("s3://host/x/list.csv")[1].path == "s3://host/b #1.mp4"


def test_download_that_is_cut_off():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            for _ in range(4):
                connection, _ = server.accept()
                connection.recv(10000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                connection.close()

        threading.Thread(target=answer, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.mp4"
        with pytest.raises(OSError) as caught:
            files.copy_into(address, io.BytesIO())
    assert caught.value.filename == address


def test_copies_in_pieces(tmp_path):
    content = os.urandom(1_000_000)
    (tmp_path / "big").write_bytes(content)
    beats = []
    with web(tmp_path) as server:
        copied = io.BytesIO()
        length = files.copy_into(f"{server.address}/big", copied, lambda: beats.append(1))
    assert length == len(content) and copied.getvalue() == content and len(beats) > 10
