"""--mode=readout: how well linear classifiers of a frozen network's taps name the classes."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tensorflow import keras

from vie_tf import workdir
from vie_tf.config import LEARNING
from vie_tf.data.augmentation import AUGMENTATIONS
from vie_tf.data.pipeline import TestClips
from vie_tf.data.service import check_service
from vie_tf.data.splits import WATCHED, training_split
from vie_tf.data.stills import all_still
from vie_tf.data.videos import VideoSet, open_videos
from vie_tf.device import set_seed
from vie_tf.errors import InputError, writing_to
from vie_tf.evaluation import results
from vie_tf.evaluation.cache import cached_features
from vie_tf.evaluation.classification import accuracy
from vie_tf.evaluation.embed import clip_means
from vie_tf.evaluation.features import Taps, find_taps
from vie_tf.evaluation.labelled import check_splits, labelled_split
from vie_tf.progress import track
from vie_tf.trained import Run
from vie_tf.training.readout import ReadOut, train_read_outs
from vie_tf.training.settings import augmentation

LEARNING_RATE = 0.01  # of the paper's read-outs


@dataclass(frozen=True)
class Task:
    """What is read out.

    Attributes:
        network: frozen.
        taps: what the classifiers see of it.
        train, test: the splits of the videos, all with labels.
        clips: of each video in tests.
    """

    network: keras.Model
    taps: Taps
    train: VideoSet
    test: VideoSet
    clips: TestClips


def read_out(flags, run: Run) -> None:
    """Trains and tests read-outs of a network, prints a table, and appends to results.jsonl.

    Args:
        flags: the command's.
        run: whose network is read out.

    Raises:
        InputError: taps, videos or flags that do not do.
    """
    folder = Path(flags.workdir)
    network, own = run.network, workdir.read_flags(folder)
    taps = find_taps(network, flags.taps, int(own["depth"]))
    videos = open_videos(flags.data, flags.decoder, flags.label_column, flags.split_column)
    where = f"--mode=readout: {flags.data}"
    train, test = (videos.subset(videos.splits == split) for split in ("train", "test"))
    check_splits(train, test, where)
    test, notes = labelled_split(train, test, where)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    stills = all_still((train, test), run.clips.sampling, where)
    settle(flags, own, run.clips.image_size, stills)
    print(
        f"{len(train)} {'still images' if stills else 'videos'} to train on, {len(test)} to test "
        f"with, {len(videos.label_names)} classes"
    )
    # All clips of an image are alike.
    count = 1 if stills else flags.clips
    clips = replace(run.clips, count=count, crops=augmentation(flags).test)
    task = Task(network, taps, train, test, clips)
    identity = {
        "network": network.name,
        "weights": _digest([hashlib.sha256(w).hexdigest() for w in network.get_weights()]),
        "sampling": repr(clips.sampling),
        "image_size": clips.image_size,
    }
    if flags.cached:
        probabilities = from_cache(task, flags, folder / "readout", identity)
    else:
        identity["fingerprint"] = videos.fingerprint
        probabilities = trained(task, flags, folder / "readout", identity)
    found = {
        name: accuracy(probabilities[:, number], test.labels)
        for number, name in enumerate(taps.outputs)
    }
    print(table(found, len(test)))
    learning = {name: workdir.text(flags[name].value) for name in LEARNING if name != "seed"}
    values = {
        **workdir.said_of_data(flags, videos.fingerprint),
        "family": run.said["family"],
        "frames_of": flags.frames_of,
        "second_workdir": run.said.get("second_workdir"),
        "loss": run.said["loss"],
        "step": run.said["step"],
        "seed": flags.seed,
        "cached": flags.cached,
        "steps": None if flags.cached else flags.steps,
        "augmentation": flags.augmentation,
        "clips": count,
        "ten_crop": flags.ten_crop,
        "learning": {} if flags.cached else learning,
        "videos": len(test),
        "classes": len(videos.label_names),
        "taps": found,
    }
    with writing_to(folder / "results.jsonl"):
        results.append(folder, "readout", values)


def settle(flags, run: dict[str, str], image_size: int, stills: bool) -> None:
    """Gives the flags that were not given the values of the run, images the augmentation of images.

    Args:
        flags: the command's, changed in place.
        run: flags of the run that is read out.
        image_size: side of the clips in pixels.
        stills: whether there are images only.
    """
    own = run["augmentation"]
    if not flags["augmentation"].present:
        flags.augmentation = "imagenet" if stills else own
    if flags.colour_noise is None:
        strengths = AUGMENTATIONS[flags.augmentation].colour.strengths
        flags.colour_noise = (
            run["colour_noise"].split(",") if flags.augmentation == own else strengths
        )
    if not flags["flip"].present:
        flags.flip = run["flip"] == "True"
    if flags.learning_rate is None:
        flags.learning_rate = LEARNING_RATE
    flags.image_size = image_size


def trained(task: Task, flags, folder: Path, identity: dict) -> np.ndarray:
    """Test videos' probabilities, float32 [N, taps, classes], of read-outs that are trained.

    Args:
        task: what is read out.
        flags: the command's, settled.
        folder: holds a folder for each identity.
        identity: what the numbers depend on beside the flags of learning and the videos.
    """
    if flags.data_service:
        check_service(flags.data_service, flags.data)
    share = min(flags.held_out, WATCHED / len(task.train))
    train, held_out = training_split(task.train, share, flags.seed, classes=True)
    if flags.lr_plateau and not len(held_out):
        raise InputError("--lr_plateau needs held-out videos to measure on: give --held_out")
    settings = {name: workdir.text(flags[name].value) for name in sorted(LEARNING)}
    settings |= {"taps": task.taps.outputs, "clips": task.clips.count, **identity}
    place = folder / f"{Path(flags.data).stem}-{_digest(settings)}"
    set_seed(flags.seed, flags.deterministic)
    recipe = augmentation(flags)
    model = ReadOut(task.network, task.taps, len(train.label_names), flags.seed, recipe.colour)
    sizes = ", ".join(f"{name} {tap.shape[1]:,}" for name, tap in model.network.input.items())
    print(f"values of each tap: {sizes}; {len(held_out)} training videos held out; {place}")
    train_read_outs(model, train, held_out, task.clips, recipe, flags, place)
    workdir.write(place / "settings.json", json.dumps(settings, indent=1) + "\n")
    return clip_means(model.probabilities(), task.test, task.clips, "test batches")


def from_cache(task: Task, flags, folder: Path, identity: dict) -> np.ndarray:
    """As `trained`, of logistic regressions on features that the folder keeps for the next time."""
    # Here, since scikit-learn is slow to import and no other mode needs it.
    from vie_tf.evaluation.linear import linear_probabilities

    plain = replace(task.clips, crops=AUGMENTATIONS[flags.augmentation].test)
    kept = {}
    for split, videos, clips in (("training", task.train, plain), ("test", task.test, task.clips)):
        of_split = {
            **identity,
            "clips": clips.count,
            "crops": [flags.augmentation, clips.crops.views],
            "videos": [videos.ids, videos.numbers.tolist(), videos.frames.tolist()],
            "bytes": videos.file_bytes.tolist(),
        }
        kept[split] = cached_features(
            task.network,
            task.taps,
            videos,
            clips,
            f"{split} batches",
            folder / "features" / _digest(of_split),
        )
    (train, train_rows), (test, test_rows) = kept["training"], kept["test"]
    labels, classes = task.train.labels, len(task.train.label_names)
    return np.stack(
        [
            linear_probabilities(
                train[name], train_rows, labels, test[name], test_rows, classes, flags.seed
            )
            for name in track(task.taps.outputs, "taps", len(task.taps.outputs))
        ],
        axis=1,
    )


def table(found: dict[str, dict[str, float]], videos: int) -> str:
    """What was found for each tap, as text."""
    width = max(len("tap"), *map(len, found))
    head = f"{'tap':{width}}  top-1  95 % interval     top-5  95 % interval"
    lines = [f"{head}     of {videos} test videos"]
    for name, x in found.items():
        shares = "  ".join(
            f"{x[top]:.4f}  {x[f'{top}_low']:.4f} to {x[f'{top}_high']:.4f}"
            for top in ("top1", "top5")
        )
        lines.append(f"{name:{width}} {shares}")
    return "\n".join(lines)


def _digest(value) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
