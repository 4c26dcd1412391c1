"""`make gpu` at tiny sizes on the processor."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gpu, gpu_checks

ROOT = Path(__file__).resolve().parent.parent


def gpu_benchmark(out, parts):
    words = [sys.executable, "-m", "benchmarks.gpu", "--tiny", f"--parts={parts}", f"--out={out}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, out.read_text()


def test_parts_are_timed_and_checked(tmp_path):
    status, said = gpu_benchmark(tmp_path / "gpu.txt", "replicas,parts")
    assert status == 0 and said.endswith("failed: nothing\n"), said
    assert "2 replicas" in said and "equal: True" in said
    for what in ("noise", "blur", "neighbours, K 512", "k-means", "update, deterministic"):
        assert what in said


@pytest.mark.slow
def test_all_of_it(tmp_path):
    status, said = gpu_benchmark(tmp_path / "gpu.txt", ",".join(gpu.PARTS))
    assert status == 0 and said.endswith("failed: nothing\n"), said
    assert said.count("vie:single:128") >= 4 and "by the command, waiting for data" in said


def test_numbers_that_differ_from_the_processors_fail(tmp_path, capsys):
    one = {"noise": np.zeros(3), "neighbours": np.arange(4), "loss ir": np.ones(2)}
    other = {"noise": np.ones(3), "neighbours": np.arange(4), "loss ir": np.array([1, np.nan])}
    one |= {"loss la": np.ones(2), "gradients ir": np.ones(9), "gradients la": np.ones(9)}
    other |= {"loss la": np.array([1, 1.003])}
    other |= {"gradients ir": np.full(9, 1.01), "gradients la": np.full(9, 1.03)}
    np.savez(tmp_path / "one.npz", **one)
    np.savez(tmp_path / "other.npz", **other)
    same = gpu_checks.compare(str(tmp_path / "one.npz"), str(tmp_path / "one.npz"))
    assert not same and "noise" in capsys.readouterr().out
    wrong = gpu_checks.compare(str(tmp_path / "one.npz"), str(tmp_path / "other.npz"))
    assert [line.split(" differs")[0] for line in wrong] == [
        "noise",
        "loss ir",
        "loss la",
        "gradients la",
    ]


def test_what_fails_is_told_and_the_rest_goes_on(monkeypatch, capsys):
    def broken(report, folder):
        raise RuntimeError("no kernel")

    monkeypatch.setattr(gpu.Report, "families", broken)
    monkeypatch.setattr(gpu.Report, "replicas", lambda report, folder: report.say("  done"))
    monkeypatch.setattr(sys, "argv", ["gpu", "--parts=families,replicas"])
    with pytest.raises(SystemExit) as end:
        gpu.main()
    said = capsys.readouterr().out
    assert end.value.code == 1 and "done" in said
    assert "failed: families: RuntimeError: no kernel" in said
