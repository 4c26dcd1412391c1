"""--mode=readout: accuracy of linear classifiers on a frozen network's taps."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vie_tf.data.augmentation import AUGMENTATIONS
from vie_tf.data.pipeline import TestClips
from vie_tf.data.service import check_service
from vie_tf.data.splits import WATCHED, training_split
from vie_tf.data.stills import all_still
from vie_tf.data.videos import VideoSet, open_videos
from vie_tf.device import set_seed
from vie_tf.errors import InputError, writing_to
from vie_tf.evaluation.cache import cached_features
from vie_tf.evaluation.classification import accuracy
from vie_tf.evaluation.embed import clip_means
from vie_tf.evaluation.labelled import check_splits, labelled_split
from vie_tf.evaluation.taps import Taps, find_taps
from vie_tf.keras2 import keras
from vie_tf.output import whole
from vie_tf.progress import track
from vie_tf.runs import results, workdir
from vie_tf.runs.trained import Run
from vie_tf.settings import LEARNING, Settings, text
from vie_tf.training.defaults import augmentation, intervals
from vie_tf.training.linear_classifiers import ReadOut, train_read_outs

LEARNING_RATE = 0.01  # of the paper's read-outs


@dataclass(frozen=True)
class Task:
    """A read-out task.

    Attributes:
        network: frozen.
        taps: the features that the classifiers see.
        train, test: the splits of the videos, all with labels.
        clips: of each video in tests.
    """

    network: keras.Model
    taps: Taps
    train: VideoSet
    test: VideoSet
    clips: TestClips


def read_out(
    run: Run,
    folder: Path,
    names: Sequence[str],
    settings: Settings,
    given: Collection[str],
    cached: bool = False,
    frames_of: str | None = None,
) -> None:
    """Trains and tests read-outs of a network, prints a table, and appends to results.jsonl.

    Args:
        run: the run whose network is read out.
        folder: of the run.
        names: of the taps.
        settings: of the read-outs, as they were given.
        given: names of the settings that were.
        cached: whether they are logistic regressions on features that are computed once.
        frames_of: with which the run was loaded.

    Raises:
        InputError: taps, videos or settings cannot be used.
    """
    own = workdir.read_settings(folder)
    taps = find_taps(run.network, names, own.network.depth)
    data, evaluation = settings.data, settings.evaluation
    videos = open_videos(data.data, data.decoder, data.label_column, data.split_column)
    train, test, stills = labelled_videos(run, videos, f"--mode=readout: {data.data}")
    settings = settled(settings, given, own, run.clips.image_size, stills)
    # All clips of an image are alike.
    count = 1 if stills else evaluation.clips
    crops = augmentation(settings.clips, evaluation).test
    clips = replace(run.clips, count=count, crops=crops)
    task = Task(run.network, taps, train, test, clips)
    identity = identified(run.network, clips)
    if cached:
        probabilities = from_cache(task, settings, folder / "readout", identity)
    else:
        identity["fingerprint"] = videos.fingerprint
        probabilities = trained(task, settings, folder / "readout", identity)
    found = {
        name: accuracy(probabilities[:, number], test.labels)
        for number, name in enumerate(taps.outputs)
    }
    print(table(found, len(test)))
    values = {
        **workdir.said_of_data(data, videos.fingerprint),
        **said(run, settings, cached, frames_of),
        "clips": count,
        "videos": len(test),
        "classes": len(videos.label_names),
        "taps": found,
    }
    with writing_to(folder / "results.jsonl"):
        results.append(folder, "readout", values)


def identified(network: keras.Model, clips: TestClips) -> dict[str, object]:
    """Returns what distinguishes a network's features from another's."""
    return {
        "network": network.name,
        "weights": _digest([hashlib.sha256(w).hexdigest() for w in network.get_weights()]),
        "sampling": repr(clips.sampling),
        "image_size": clips.image_size,
    }


def said(run: Run, settings: Settings, cached: bool, frames_of: str | None) -> dict[str, object]:
    """Describes, for results, the network and how the read-outs learn."""
    return {
        "family": run.said["family"],
        "frames_of": frames_of,
        "second_workdir": run.said.get("second_workdir"),
        "loss": run.said["loss"],
        "step": run.said["step"],
        "seed": settings.start.seed,
        "cached": cached,
        "steps": None if cached else settings.schedule.steps,
        "augmentation": settings.clips.augmentation,
        "ten_crop": settings.evaluation.ten_crop,
        "learning": {} if cached else learning(settings, without="seed"),
    }


def labelled_videos(run: Run, videos: VideoSet, where: str) -> tuple[VideoSet, VideoSet, bool]:
    """Returns the labelled splits and whether all videos are still images; prints their numbers.

    Raises:
        InputError: a split or its labels cannot be used.
    """
    train, test = (videos.subset(videos.splits == split) for split in ("train", "test"))
    check_splits(train, test, where)
    test, notes = labelled_split(train, test, where)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    stills = all_still((train, test), run.clips.sampling, where)
    print(
        f"{len(train)} {'still images' if stills else 'videos'} to train on, {len(test)} to test "
        f"with, {len(videos.label_names)} classes"
    )
    return train, test, stills


def learning(settings: Settings, without: str = "") -> dict[str, str]:
    """Returns the settings by which the read-outs learn, as text."""
    values = settings.values()
    return {name: text(values[name]) for name in LEARNING if name != without}


def settled(
    settings: Settings, given: Collection[str], run: Settings, image_size: int, stills: bool
) -> Settings:
    """Fills in settings that were not given from the run; still images get their augmentation.

    Args:
        settings: of the read-outs.
        given: names of those that were given.
        run: those of the run that is read out.
        image_size: side of the clips in pixels.
        stills: whether all videos are still images.
    """
    own, chosen = run.clips.augmentation, {"image_size": image_size}
    if "augmentation" not in given:
        chosen["augmentation"] = "imagenet" if stills else own
    name = chosen.get("augmentation", settings.clips.augmentation)
    if settings.clips.colour_noise is None:
        strengths = AUGMENTATIONS[name].colour.strengths
        chosen["colour_noise"] = run.clips.colour_noise if name == own else strengths
    if "flip" not in given:
        chosen["flip"] = run.clips.flip
    values, steps = settings.values(), settings.schedule.steps
    default = {"learning_rate": LEARNING_RATE, **intervals(steps)}
    chosen |= {name: value for name, value in default.items() if values[name] is None}
    return settings.but(**chosen)


def trained(task: Task, settings: Settings, folder: Path, identity: dict) -> np.ndarray:
    """Trains read-outs; returns test videos' probabilities, float32 [N, taps, classes].

    Args:
        task: what is read out.
        settings: of the read-outs.
        folder: holds a folder for each identity.
        identity: what the numbers depend on besides the learning flags and the videos.
    """
    data, seed = settings.data, settings.start.seed
    if data.data_service:
        check_service(data.data_service, data.data)
    share = min(data.held_out, WATCHED / len(task.train))
    train, held_out = training_split(task.train, share, seed, classes=True)
    if settings.schedule.lr_plateau and not len(held_out):
        raise InputError("--lr_plateau needs held-out videos to measure on: give --held_out")
    how = dict(sorted(learning(settings).items()))
    how |= {"taps": task.taps.outputs, "clips": task.clips.count, **identity}
    place = folder / f"{Path(data.data).stem}-{_digest(how)}"
    set_seed(seed, settings.start.deterministic)
    recipe = augmentation(settings.clips, settings.evaluation)
    model = ReadOut(task.network, task.taps, len(train.label_names), seed, recipe.colour)
    sizes = ", ".join(f"{name} {tap.shape[1]:,}" for name, tap in model.network.input.items())
    print(f"values of each tap: {sizes}; {len(held_out)} training videos held out; {place}")
    train_read_outs(model, train, held_out, task.clips, recipe, settings, place)
    with whole(place / "settings.json") as part:
        part.write_text(json.dumps(how, indent=1) + "\n")
    return clip_means(model.probabilities(), task.test, task.clips, "test batches")


def from_cache(task: Task, settings: Settings, folder: Path, identity: dict) -> np.ndarray:
    """As `trained`, with logistic regressions on features that the folder keeps for later use."""
    # Imported here, since scikit-learn is slow to import and no other mode needs it.
    from vie_tf.evaluation.linear import linear_probabilities

    plain = replace(task.clips, crops=AUGMENTATIONS[settings.clips.augmentation].test)
    kept = {}
    for split, videos, clips in (("training", task.train, plain), ("test", task.test, task.clips)):
        of_split = {
            **identity,
            "clips": clips.count,
            "crops": [settings.clips.augmentation, clips.crops.views],
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
    seed = settings.start.seed
    return np.stack(
        [
            linear_probabilities(
                train[name], train_rows, labels, test[name], test_rows, classes, seed
            )
            for name in track(task.taps.outputs, "taps", len(task.taps.outputs))
        ],
        axis=1,
    )


def table(found: dict[str, dict[str, float]], videos: int) -> str:
    """Returns the accuracies of each tap, as text."""
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
