"""The code of docs/library.md, and that of README.md on the library, at small sizes."""

import runpy
from pathlib import Path

import numpy as np
import small_networks

from vie_tf.models import families, resnet

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "library.md"


def code():
    lines = [line[4:] for line in PAGE.read_text().splitlines() if line.startswith("    ")]
    sizes = "size, batch, epochs = 112, 32, 50"
    assert sizes in lines
    # The last block's features, of a small network; a real one has them under the page's name.
    blocks = sum(resnet.BLOCKS_PER_STAGE[18])
    with small_networks.real():
        taps = families.build("single", 32).output_shape
    assert taps["encode_10"] == (None, 1, 1, 512) and "encode_11" not in taps
    code = "\n".join(lines).replace("encode_10", f"encode_{blocks + 2}")
    return code.replace(sizes, "size, batch, epochs = 32, 4, 2")


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
    assert (
        "val_recall_at_1" in said
        and f"(4, 128) (4, 1, 1, {small_networks.WIDTHS[-1]})" in said
        and "(12, 64)" in said
    )
    assert all(
        Path(name).exists() for name in ("best.keras", "network.keras", "own.keras", "board")
    )


def test_the_readme_runs_as_it_stands(prepared, tmp_path, monkeypatch, capsys):
    part = (ROOT / "README.md").read_text().split("## As a library")[1].split("\n## ")[0]
    lines = "\n".join(line[4:] for line in part.splitlines() if line.startswith("    "))
    for real, small in (("112", "32"), ("64", "8"), ("20000", "3"), ("=1000", "=3")):
        assert real in lines
        lines = lines.replace(real, small)
    monkeypatch.chdir(tmp_path)
    Path("prepared").symlink_to(prepared)
    Path("readme.py").write_text(lines)
    found = runpy.run_path("readme.py")
    assert "trained 3 steps" in capsys.readouterr().out
    assert found["model"].bank.used().any() and Path("run", "flags.txt").exists()
