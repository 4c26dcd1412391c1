"""The code of docs/library.md, at small sizes."""

import runpy
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("real_networks")

PAGE = Path(__file__).parent.parent / "docs" / "library.md"


def code():
    lines = [line[4:] for line in PAGE.read_text().splitlines() if line.startswith("    ")]
    sizes = "size, batch, epochs = 112, 32, 50"
    assert sizes in lines
    return "\n".join(lines).replace(sizes, "size, batch, epochs = 32, 4, 2")


def test_the_page_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    videos = np.random.default_rng(0).integers(0, 256, (12, 9, 40, 48, 3)).astype("uint8")
    np.save("my_videos.npy", videos)
    Path("library.py").write_text(code())  # TensorFlow reads the source of functions
    found = runpy.run_path("library.py")
    assert found["embeddings"].shape == (12, 128) and found["neighbours"].shape == (12, 3)
    assert (found["neighbours"] != np.arange(12)[:, None]).all()
    assert found["share"] == 1 and found["model"].aggregates
    assert found["model"].bank.used().all()
    said = capsys.readouterr().out
    assert "val_recall_at_1" in said and "(4, 128) (4, 1, 1, 512)" in said and "(12, 64)" in said
    assert all(
        Path(name).exists() for name in ("best.keras", "network.keras", "own.keras", "board")
    )
