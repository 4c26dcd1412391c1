from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from preparing import ROOT, contents, outcome, some_videos
from servers import s3

from data_prep import finish

pytest.importorskip("apache_beam")

SMALL = "from data_prep import finish, {0}; finish.SHARD_BYTES = 30000; {0}.run()"


def command(program, source, out, *more):
    return [
        *(sys.executable, "-c", SMALL.format(program), f"--source={source}", f"--out={out}"),
        *("--short_side=40", "--decoder=pyav", "--workers=2", *more),
    ]


def prepare(program, source, out, *more):
    return outcome(command(program, source, out, *more))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    some_videos(folder)
    (folder / "zempty.avi").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def plain(source, tmp_path_factory):
    """The set that data_prep.videos makes."""
    out = str(tmp_path_factory.mktemp("out") / "plain")
    code, _, error = prepare("videos", source, out)
    assert code == 0, error
    assert os.path.exists(os.path.join(out, "frames-00002.tfrecord"))
    return contents(out)


def test_same_bytes_and_counters(source, plain, tmp_path):
    code, last, error = prepare("beam", source, tmp_path / "out")
    assert code == 0, error
    assert last.startswith("7 videos prepared, 3 skipped (see ")
    records = sum(len(plain[name]) for name in plain if name.startswith("frames"))
    assert f"counted by Beam: kept 7, skipped 3, frames 160, bytes {records}, retried 0\n" in error
    assert contents(tmp_path / "out") == plain
    code, last, _ = prepare("beam", source, tmp_path / "out")
    assert code == 0 and "finished already" in last


def test_killed_and_gone_on_with_is_the_same_bytes(source, plain, tmp_path):
    out = tmp_path / "out"
    run = subprocess.Popen(command("beam", source, out), cwd=ROOT, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while run.poll() is None and time.monotonic() < until:
        if (out / "spool").exists() and len(list((out / "spool").glob("*.json"))) >= 3:
            run.kill()
            break
        time.sleep(0.002)
    assert run.wait() == -signal.SIGKILL
    code, _, error = prepare("videos", source, out)
    assert code == 1 and "was begun by data_prep.beam; go on with that" in error
    names = sorted(os.listdir(source))
    done = [source / names[int(entry.stem)] for entry in (out / "spool").glob("*.json")]
    saved = {path: path.read_bytes() for path in done}
    for path in done:  # what was done is not looked at again, so it may change
        path.write_bytes(b"x" * len(saved[path]))
    try:
        code, _, error = prepare("beam", source, out)
    finally:
        for path in done:
            path.write_bytes(saved[path])
    assert code == 0, error
    assert contents(out) == plain


def test_crash_and_hang_cost_one_video_each(source, tmp_path):
    for name, origin in (("a", "v0"), ("crash", "v1"), ("hang", "v2"), ("z", "v3")):
        shutil.copy(source / f"{origin}.mp4", tmp_path / f"{name}.mp4")
    odd = (
        "import sys; sys.path.insert(0, 'tests'); import odd_work; from data_prep import beam;"
        "beam.standardise, beam.PATIENCE = odd_work.odd_standardise, 2; beam.run()"
    )
    words = [sys.executable, "-c", odd, f"--source={tmp_path}", f"--out={tmp_path / 'out'}"]
    words += ["--short_side=40", "--decoder=pyav"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "out" / "manifest.csv", newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert [row["status"] for row in rows.values()] == ["kept", "skipped", "skipped", "kept"]
    assert "crashed (exit code -11)" in rows["crash.mp4"]["reason"]
    assert "stood still for 2 s" in rows["hang.mp4"]["reason"]


def test_storage_that_fails_says_nothing_of_a_video(source, plain, tmp_path):
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (12000, 12000));"
    words = command("beam", source, tmp_path / "out")
    words[2] = full + words[2]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "cannot be written" in last and "No space left on device" in last
    assert last.endswith("; make room, then run the same command again to go on")
    code, _, error = prepare("beam", source, tmp_path / "out")
    assert code == 0, error
    assert contents(tmp_path / "out") == plain


def test_store_that_does_not_answer(source):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        out = f"http://127.0.0.1:{free.getsockname()[1]}/out"
        code, _, error = prepare("beam", source, out)
    assert code == 1 and "refused" in error
    assert error.endswith("; run the same command again to go on\n")


def test_records_that_are_not_whole_are_made_again(tmp_path):
    (spool := tmp_path / "spool").mkdir()
    (spool / "0").write_bytes(b"half")
    (spool / "0.json").write_text('{"status": "kept", "records": 8}')
    join = f"from data_prep import beam; beam.join((0, 0, 1), {str(tmp_path)!r})"
    code, _, error = outcome([sys.executable, "-c", join])
    assert code == 1 and "is not as long as it was" in error
    assert [path.name for path in tmp_path.rglob("*")] == ["spool", "0"]


def test_workers_in_other_processes(source, plain, tmp_path):
    """As on a cluster: everything that a worker does arrives there pickled."""
    words = ["-m", "data_prep.beam", *command("beam", source, tmp_path / "out")[3:]]
    more = ["--", "--direct_running_mode=multi_processing"]
    done = subprocess.run([sys.executable, *words, *more], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "out" / "frames-00000.tfrecord", "rb") as file:  # one shard of 1 GB
        shards = sorted(name for name in plain if name.startswith("frames"))
        assert file.read() == b"".join(plain[name] for name in shards)


def test_out_in_an_object_store(source, plain, monkeypatch):
    s3fs = pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    with s3() as (environment, _):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        store = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
        store.mkdir("made")
        code, last, error = prepare("beam", source, "s3://made/out")
        assert code == 0, error
        assert last.startswith("7 videos prepared, 3 skipped (see s3://made/out/manifest.csv)")
        found = {path.split("/")[-1]: store.cat_file(path) for path in store.find("made")}
        assert found == plain
        code, last, _ = prepare("beam", source, "s3://made/out")
        assert code == 0 and "finished already" in last


def test_plan_is_that_of_one_writer(monkeypatch):
    monkeypatch.setattr(finish, "SHARD_BYTES", 10)
    found = [(0, None), (1, 9), (2, None), (3, 1), (4, None), (5, 30), (6, 2), (7, None)]
    assert list(finish.plan(found[::-1])) == [(0, 0, 5), (1, 5, 6), (2, 6, 8)]
    assert list(finish.plan([(0, None)])) == [(0, 0, 1)]
