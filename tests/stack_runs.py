"""What one TensorFlow makes, for the other to go on with: tests/golden/made_on_VERSION.tar.xz.

python tests/stack_runs.py     makes that of the TensorFlow that it runs on

It holds prepared videos, a run of four steps on them, its SavedModel, losses.json and values.npz
with what that TensorFlow itself finds: losses of eight steps, and embeddings of random clips.
"""

import json
import shutil
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import small_networks
import tensorflow as tf
from preparing import prepare
from words import vie_tf

from data_prep import moving_digits

GOLDEN = Path(__file__).with_name("golden")
WORDS = ("--image_size=32", "--batch_size=8", "--seed=3", "--precision=float32", "--held_out=0.2")
WORDS += ("--log_every=1", "--save_every=4", "--evaluate_every=4", "--learning_rate=0.003")


def archive(version: str) -> Path:
    return GOLDEN / f"made_on_{version}.tar.xz"


def train(folder: Path, steps: int) -> list[float]:
    """Trains the folder's run, or goes on with it; returns the losses of all steps."""
    run = folder / "run"
    vie_tf(f"--data={folder / 'prepared'}", f"--workdir={run}", f"--steps={steps}", *WORDS)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def embeddings(folder: Path, clips: np.ndarray) -> np.ndarray:
    """Embeds clips by the SavedModel, without this package."""
    served = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    return served(clip=tf.constant(clips))["embedding"].numpy()


def main() -> None:
    small_networks.use()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        moving_digits.make(str(folder / "digits"), seed=0, limit=20)
        prepare(folder / "digits" / "videos.csv", folder / "prepared")
        train(folder, 4)
        again = folder / "again"
        shutil.copytree(folder / "prepared", again / "prepared")
        shutil.copytree(folder / "run", again / "run")
        (folder / "losses.json").write_text(json.dumps(train(again, 8)))
        out = folder / "saved_model"
        vie_tf("--mode=export", f"--workdir={folder / 'run'}", f"--out={out}")
        clips = np.random.RandomState(0).randint(0, 256, (2, 1, 40, 48, 3)).astype(np.uint8)
        np.savez(folder / "values.npz", clips=clips, embeddings=embeddings(folder, clips))
        shutil.rmtree(folder / "run" / "tensorboard")
        with tarfile.open(archive(tf.__version__), "w:xz") as tar:
            for name in ("prepared", "run", "saved_model", "losses.json", "values.npz"):
                tar.add(folder / name, name)


if __name__ == "__main__":
    main()
