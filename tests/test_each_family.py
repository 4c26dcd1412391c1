"""Every family through the command: trains, goes on bit for bit, exports.

VIE_TEST_DATA names other videos than the moving digits: prepared, a folder or a CSV.
"""

import contextlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_networks
import tensorflow as tf
from words import rewound, vie_tf

from data_prep import moving_digits
from vie_tf.data import pipeline
from vie_tf.data.videos import open_videos
from vie_tf.errors import InputError
from vie_tf.models import families

PAPERS = ("single", "resnet3d", "trn", "slow", "slowfast")  # with their real networks


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    if os.environ.get("VIE_TEST_DATA"):
        return Path(os.environ["VIE_TEST_DATA"])
    folder = tmp_path_factory.mktemp("digits")
    moving_digits.make(str(folder), seed=0, limit=16)
    return folder / "videos.csv"


def train(data, workdir, **flags):
    given = dict(
        image_size=32, batch_size=4, seed=3, precision="float32", log_every=1, save_every=2
    )
    given["evaluate_every"] = 100  # at the start and the end
    given = {**given, **flags}
    vie_tf(
        "--mode=pretrain",
        f"--data={data}",
        f"--workdir={workdir}",
        *(f"--{name}={value}" for name, value in given.items()),
    )
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.fixture
def networks(family):
    with small_networks.real() if family in PAPERS else contextlib.nullcontext():
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("networks")
@pytest.mark.parametrize("family", families.FAMILIES)
def test_trains_goes_on_and_exports(data, tmp_path, family):
    whole = train(data, tmp_path / "run", family=family, steps=4)
    assert len(whole) == 4 and np.isfinite(whole).all()
    parts = rewound(tmp_path / "run", 2, tmp_path / "parts")
    assert train(data, parts, family=family, steps=4) == whole
    vie_tf("--mode=export", f"--workdir={tmp_path / 'run'}", f"--out={tmp_path / 'model'}")
    out = tmp_path / "e.npz"
    vie_tf(
        "--mode=embed",
        f"--data={data}",
        f"--workdir={tmp_path / 'run'}",
        f"--out={out}",
        "--clips=1",
    )
    clips = pipeline.TestClips(families.sampling_of(family), 32, 1)
    batch = next(iter(pipeline.test_batches(open_videos(str(data)), clips)))
    served = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    found = served(clip=batch["clip"])
    first = np.load(out)["embeddings"][: len(batch["clip"])]
    np.testing.assert_allclose(found["embedding"], first, atol=1e-5)
    assert {"encode_1", "encode_10" if family in PAPERS else "encode_7"} <= set(found)


@pytest.mark.slow
def test_two_streams_and_input_single(data, tmp_path):
    for family in ("single", "slow"):
        train(data, tmp_path / family, family=family, steps=0)
    shared = ("--mode=embed", f"--data={data}", f"--workdir={tmp_path / 'single'}", "--clips=2")
    out = tmp_path / "both.npz"
    vie_tf(*shared, f"--out={out}", f"--second_workdir={tmp_path / 'slow'}")
    rows = np.load(out)["embeddings"]
    assert rows.shape == (len(open_videos(str(data))), 256)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    vie_tf(*shared, f"--out={tmp_path / 'frames.npz'}", "--frames_of=slow")
    vie_tf(*shared, f"--out={tmp_path / 'plain.npz'}")
    frames, plain = (np.load(tmp_path / f"{n}.npz")["embeddings"] for n in ("frames", "plain"))
    assert frames.shape == plain.shape and np.abs(frames - plain).max() > 1e-4
    vie_tf(
        *("--mode=export", f"--workdir={tmp_path / 'single'}", f"--out={tmp_path / 'model'}"),
        f"--second_workdir={tmp_path / 'slow'}",
    )
    served = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    clips = pipeline.TestClips(families.sampling_of("slow"), 32, 2)
    clip = next(iter(pipeline.test_batches(open_videos(str(data)), clips)))["clip"][:2]
    found = served(clip=clip)
    assert found["encode_7"].shape[-1] == 2 * small_networks.WIDTHS[-1]
    mean = np.mean(found["embedding"], axis=0)
    np.testing.assert_allclose(mean / np.linalg.norm(mean), rows[0], atol=1e-5)
    shutil.copytree(tmp_path / "single", tmp_path / "other")
    with pytest.raises(InputError, match="single frames too"):
        vie_tf(*shared, "--out=x", f"--second_workdir={tmp_path / 'other'}")
    with pytest.raises(InputError, match="not single"):
        vie_tf(
            *("--mode=export", f"--workdir={tmp_path / 'slow'}", f"--out={tmp_path / 'model'}"),
            "--frames_of=slow",
        )


@pytest.mark.slow
def test_supervised_twin(data, digits, tmp_path, capsys):
    if not os.environ.get("VIE_TEST_DATA"):
        data = digits  # of all classes, so that each is trained on
    flags = dict(family="single", loss="supervised", steps=3)
    losses = train(data, tmp_path / "run", **flags)
    assert len(losses) == 3 and np.isfinite(losses).all()
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert '"top1"' in metrics and '"recall_at_1"' in metrics
    result = json.loads((tmp_path / "run" / "results.jsonl").read_text())
    assert result["kind"] == "supervised" and result["start"] == "scratch"
    parts = rewound(tmp_path / "run", 2, tmp_path / "parts")
    assert train(data, parts, **flags) == losses
    vie_tf("--mode=knn", f"--data={data}", f"--workdir={tmp_path / 'run'}", "--k=3")
    assert "top1" in capsys.readouterr().out.splitlines()[-1]
    vie_tf("--mode=export", f"--workdir={tmp_path / 'run'}", f"--out={tmp_path / 'model'}")
    served = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    labels = open_videos(str(data)).label_names
    out = tmp_path / "e.npz"
    shared = (f"--data={data}", f"--workdir={tmp_path / 'run'}", "--clips=1")
    vie_tf("--mode=embed", *shared, f"--out={out}")
    clips = pipeline.TestClips(families.sampling_of("single"), 32, 1)
    clip = next(iter(pipeline.test_batches(open_videos(str(data)), clips)))
    found = served(clip=clip["clip"][:2])
    assert found["logits"].shape == (2, len(labels))
    np.testing.assert_allclose(found["embedding"], np.load(out)["embeddings"][:2], atol=1e-5)
    moving_digits.make(str(tmp_path / "digits"), seed=0, limit=4)
    with pytest.raises(InputError, match="have no label"):
        train(tmp_path / "digits" / "videos", tmp_path / "new", **flags)
