"""The other modes of the command on a trained run: embed, export, retrieve."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from words import vie_tf

from vie_tf.data import pipeline
from vie_tf.data.videos import open_videos
from vie_tf.errors import InputError
from vie_tf.models.families import sampling_of


def test_other_test_clips(trained, digits, tmp_path):
    """All clips that follow each other, of single frames all frames; ten crops of one clip."""
    words = (f"--data={digits}", f"--workdir={trained}", f"--out={tmp_path / 'e.npz'}")
    found = []
    for options in (["--clips=0"], ["--clips=1", "--ten_crop"], ["--clips=1"]):
        vie_tf("--mode=embed", *words, *options)
        found.append(np.load(tmp_path / "e.npz")["embeddings"])
        np.testing.assert_allclose(np.linalg.norm(found[-1], axis=1), 1, atol=1e-5)
    assert all(np.abs(one - found[2]).max() > 1e-4 for one in found[:2])


def test_embed_and_saved_model_agree(trained, digits, tmp_path):
    """The SavedModel, in a Python that cannot import vie_tf, gives the embeddings of the file."""
    vie_tf(
        "--mode=embed",
        f"--data={digits}",
        f"--workdir={trained}",
        f"--out={tmp_path / 'e.npz'}",
        "--clips=1",
    )
    vie_tf("--mode=export", f"--workdir={trained}", f"--out={tmp_path / 'model'}")
    file = np.load(tmp_path / "e.npz")
    assert file["embeddings"].shape == (40, 128) and file["embeddings"].dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(file["embeddings"], axis=1), 1, atol=1e-5)
    assert list(file["ids"]) == [f"videos/{n:04}.mp4" for n in range(40)]
    assert set(file["split"]) == {"train", "test"} and set(file["labels"]) <= set("0123456789")
    clips = pipeline.TestClips(sampling_of("single"), 32, 1)
    batch = next(iter(pipeline.test_batches(open_videos(str(digits)), clips)))
    np.save(tmp_path / "clips.npy", batch["clip"])
    script = (
        "import sys, numpy as np\n"
        "sys.modules['vie_tf'] = None\n"
        "import tensorflow as tf\n"
        "model = tf.saved_model.load(sys.argv[1])\n"
        "out = model.signatures['serving_default'](clip=tf.constant(np.load(sys.argv[2])))\n"
        "assert set(out) == {'embedding', *(f'encode_{i}' for i in range(1, 8))}, set(out)\n"
        "np.save(sys.argv[3], out['embedding'])\n"
    )
    subprocess.run(
        [
            sys.executable,
            "-c",
            script,
            tmp_path / "model",
            tmp_path / "clips.npy",
            tmp_path / "out.npy",
        ],
        check=True,
        cwd=tmp_path,
    )
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), file["embeddings"], atol=1e-5)


def test_retrieve_one_and_all(trained, digits, tmp_path, capsys):
    video, prepared = "videos/0003.mp4", tmp_path / "prepared"
    words = [sys.executable, "-m", "data_prep.videos", f"--source={digits}", f"--out={prepared}"]
    subprocess.run([*words, "--short_side=48"], check=True, capture_output=True)
    for source in (digits, prepared):
        for query in (video, str(digits.parent / video), None):
            out = tmp_path / "new folder" / "picture.png"
            words = [f"--query={query}"] if query else []
            vie_tf(
                "--mode=retrieve",
                f"--data={source}",
                f"--workdir={trained}",
                f"--out={out}",
                "--clips=1",
                *words,
            )
            lines = capsys.readouterr().out.splitlines()
            asked = lines[0].split()[0]
            assert asked == video or not query
            assert "[" in lines[0]  # its label
            assert not any(asked in line for line in lines[1:4])  # not itself
            assert out.exists()
            out.unlink()


def test_a_file_of_the_same_name_from_elsewhere_is_no_member(trained, digits, tmp_path, capsys):
    (tmp_path / "videos").mkdir()
    rows = [line.split(",") for line in digits.read_text().splitlines()]
    known = [row[0] for row in rows if row[2] == "train"]
    other = tmp_path / known[0]
    shutil.copy(digits.parent / known[1], other)
    out = f"--out={tmp_path / 'p.png'}"
    vie_tf("--mode=retrieve", f"--data={digits}", f"--workdir={trained}", out, f"--query={other}")
    found = capsys.readouterr().out.splitlines()[1]
    assert known[1] in found and " 1.000 " in found


def test_retrieve_from_two_videos(trained, digits, tmp_path, capsys):
    table = tmp_path / "two.csv"
    table.write_text("\n".join(digits.read_text().splitlines()[:3]))
    (tmp_path / "videos").symlink_to(digits.parent / "videos")
    out = f"--out={tmp_path / 'p.png'}"
    vie_tf(
        "--mode=retrieve", f"--data={table}", f"--workdir={trained}", out, "--query=videos/0001.mp4"
    )
    assert "   1" in capsys.readouterr().out
    table.write_text("\n".join(digits.read_text().splitlines()[:2]))
    with pytest.raises(InputError, match="no other video"):
        vie_tf("--mode=retrieve", f"--data={table}", f"--workdir={trained}", out)
