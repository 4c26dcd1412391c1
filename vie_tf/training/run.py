"""A run, from its settings to its folder, for `--mode=pretrain` and `--mode=finetune`."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from vie_tf.data import splits, stills
from vie_tf.data.augmentation import Augmentation
from vie_tf.data.pipeline import TestClips
from vie_tf.data.sampling import Sampling, binned
from vie_tf.data.service import check_service
from vie_tf.data.videos import VideoSet, open_videos
from vie_tf.device import set_precision, set_seed, strategy
from vie_tf.drawing import plots
from vie_tf.errors import InputError, writing_to
from vie_tf.evaluation import finetuned
from vie_tf.evaluation.labelled import labelled_split
from vie_tf.keras2 import keras
from vie_tf.models import families
from vie_tf.models.relation import FrameSubsets
from vie_tf.runs import start_from, workdir
from vie_tf.runs.checkpoints import Checkpoints
from vie_tf.settings import Data, Settings
from vie_tf.training import loop
from vie_tf.training.defaults import augmentation, complete
from vie_tf.training.measurement import measurement
from vie_tf.training.optimizer import compile_model
from vie_tf.training.watch import Watch


@dataclass(frozen=True)
class Videos:
    """The videos of a run.

    Attributes:
        every: all videos of --data.
        train: those to train on, or their bins.
        held_out: those to evaluate on during training.
        sampling: which frames make a clip.
    """

    every: VideoSet
    train: VideoSet
    held_out: VideoSet
    sampling: Sampling


def train_run(settings: Settings, given: Collection[str], folder: Path) -> None:
    """Trains a network, or resumes its training, and shows progress.

    Args:
        settings: as they were given; missing ones are filled in and printed.
        given: names of those that were.
        folder: of the run.

    Raises:
        InputError: settings, videos or the folder cannot be used.
        SystemExit: with 130, after a signal.
    """
    settings, videos = chosen(start_from.inherited(settings, given, folder), given)
    check(settings, videos)
    set_seed(settings.start.seed, settings.start.deterministic)
    set_precision(settings.network.precision)
    replicas = strategy()
    if settings.schedule.batch_size % replicas.num_replicas_in_sync:
        raise InputError(
            f"--batch_size={settings.schedule.batch_size} cannot be shared evenly by "
            f"{replicas.num_replicas_in_sync} GPUs; give a multiple of their number"
        )
    settings = settings.but(
        **{
            name: workdir.absolute(value)
            for name in ("data", "start_from", "second_workdir")
            if (value := settings.values()[name])
        }
    )
    # Locked before anything in it is touched, and left as it was if the request cannot be met.
    with workdir.held(folder):
        train_and_test(settings, videos, folder, replicas)
    written = "curves.png, " if has_curves(settings, videos) else ""
    written = f"{folder}/{written}metrics.jsonl, tensorboard/"
    print(f"trained {settings.schedule.steps} steps; see {written}")


def chosen(settings: Settings, given: Collection[str]) -> tuple[Settings, Videos]:
    """Returns a run's complete settings and its videos, and prints both.

    Raises:
        InputError: settings or videos cannot be used.
    """
    sampling = clips_of(settings)
    every = opened(settings.data, skips=True)
    train, held_out, said = training_videos(settings, every, sampling)
    if settings.objective.bank and 0 < (train.labels >= 0).sum() < settings.evaluation.k:
        said += f"; no k-NN accuracy, as fewer than --k={settings.evaluation.k} have a label"
    settings, values = complete(settings, given, len(train))
    print(f"{said}; " + ", ".join(f"{name} {value}" for name, value in values.items()))
    if settings.objective.labels:
        what = "--mode=finetune" if settings.finetunes else "--loss=supervised"
        held_out, notes = labelled_split(train, held_out, f"{what}: {settings.data.data}")
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
    return settings, Videos(every, train, held_out, sampling)


def clips_of(settings: Settings) -> Sampling:
    """Returns which frames make a clip.

    Raises:
        InputError: family, depth, size and objective do not fit together.
    """
    network, clips = settings.network, settings.clips
    sampling = families.sampling_of(network.family, settings.start.legacy, clips.frame_interval)
    families.check(network.depth, clips.image_size)  # before all videos are opened
    settings.objective.check_family(network.family)
    return sampling


def opened(data: Data, skips: bool = False) -> VideoSet:
    """Returns all videos, as `open_videos` does."""
    return open_videos(data.data, data.decoder, data.label_column, data.split_column, skips=skips)


def training_videos(
    settings: Settings, videos: VideoSet, sampling: Sampling
) -> tuple[VideoSet, VideoSet, str]:
    """Returns the videos to train on, or their bins; those held out; and a line describing them.

    Raises:
        InputError: fewer than two videos are left to train on.
    """
    data, seed = settings.data, settings.start.seed
    train, held_out = splits.training_split(
        videos, data.held_out, seed, classes=settings.objective.labels
    )
    said = splits.split_line(videos, train, held_out)
    rows = splits.subset_rows(len(train), data.subset, seed, settings.start.legacy)
    train = train.subset(rows)
    if settings.schedule.steps and len(train) < 2:
        raise InputError(f"{data.data}: training tells videos apart; give two or more to train on")
    if data.subset < 1:
        said += f"; {len(set(train.ids))} videos drawn to train on"
    where = f"--mode={settings.mode}: {data.data}"
    if stills.all_still((train, held_out), sampling, where):
        stills.tell((train, held_out), sampling, where)
    train, held_out, more = settings.objective.taken(train, held_out, sampling, data.data)
    said += more
    if data.bin_frames:
        train = binned(train, sampling, data.bin_frames)
        said += f"; {len(train)} bins"
    return train, held_out, said


def check(settings: Settings, videos: Videos) -> None:
    """Raises InputError if the settings do not fit together, or do not fit the videos."""
    settings.objective.check(settings, len(videos.train))
    if settings.data.data_service:
        check_service(settings.data.data_service, settings.data.data)
    if settings.schedule.lr_plateau and len(videos.held_out) < 2:
        raise InputError(
            "--lr_plateau needs two or more held-out videos to measure on: give --held_out or a "
            "test split"
        )


def train_and_test(
    settings: Settings, videos: Videos, folder: Path, replicas: tf.distribute.Strategy
) -> None:
    """Trains in a locked folder, from the step its run has reached, and tests what learns labels.

    Raises:
        InputError: the folder holds another run, or training cannot go on.
        SystemExit: with 130, after a signal.
    """
    tested = settings.objective.labels and len(videos.held_out) > 0
    identity, best = identity_of(settings, videos), None
    with replicas.scope():
        model = build(settings, videos.train)
        workdir.check_run(folder, settings, identity)
        saved = Checkpoints(folder / "checkpoints", model, settings.record.keep)
        step = loop.restore(saved, folder, settings.schedule.steps)
        if tested:
            best = Checkpoints(folder / finetuned.BEST / "checkpoints", model, keep=1)
    identity |= started(settings, model.network, folder, step)
    for place in [folder, *([folder / finetuned.BEST] if best else [])]:
        place.mkdir(exist_ok=True)
        workdir.write_run(place, settings, identity)
    way = augmentation(settings.clips, settings.evaluation)
    size, count = settings.clips.image_size, settings.evaluation.clips
    clips = TestClips(videos.sampling, size, count, way.test)
    seen = splits.watched(videos.held_out, settings.start.seed)
    watch = loop.watched(
        folder,
        saved,
        measurement(model, seen, clips, way, settings),
        step or 0,
        videos.train,
        settings,
        plateau_from=settings.objective.first_steps(settings.schedule.steps),
        plateau_of=settings.objective.plateau_of(
            videos.train, videos.held_out, settings.evaluation.k
        ),
        best=best,
    )
    loop.train(
        watch,
        saved,
        lambda: fit(model, videos, way, settings, watch),
        compiles=settings.network.xla is not False,
    )
    with writing_to(folder):
        if has_curves(settings, videos):
            plots.learning_curves(str(folder / "metrics.jsonl"), str(folder / "curves.png"))
        if tested:
            finetuned.report(model.network, videos.held_out, clips, folder, settings, identity)


def identity_of(settings: Settings, videos: Videos) -> dict[str, object]:
    """Returns what data.json records about the videos of a run that starts from scratch."""
    return {
        "data": settings.data.data,
        "videos": len(videos.every),
        "fingerprint": videos.every.fingerprint,
        "label_names": videos.every.label_names,
        "start": "scratch",
        "start_step": 0,
    }


def started(
    settings: Settings, network: keras.Model, folder: Path, step: int | None
) -> dict[str, object]:
    """Loads the weights that a new run starts from; returns what the run started from."""
    if step is not None:
        known = workdir.read_data(folder)
        return {name: known[name] for name in ("start", "start_step")}
    given = (settings.start.start_from, settings.start.second_workdir)
    folders = [Path(run) for run in given if run]
    return start_from.load_weights(network, folders) if given[0] else {}


def has_curves(settings: Settings, videos: Videos) -> bool:
    """Returns whether there are learning curves to draw."""
    return bool(settings.schedule.steps or len(videos.held_out))


def build(settings: Settings, train: VideoSet) -> keras.Model:
    """Returns the compiled model of a run, in its initial state."""
    network, clips = settings.network, settings.clips
    make = families.build_finetuned if settings.finetunes else families.build
    built = make(
        network.family,
        clips.image_size,
        depth=network.depth,
        bn_momentum=network.bn_momentum,
        **settings.objective.head(len(train.label_names)),
    )
    for layer in built.layers:
        if isinstance(layer, FrameSubsets):
            layer.seed = settings.start.seed
    colour = augmentation(clips, settings.evaluation).colour
    model = settings.objective.model(built, len(train), colour, settings)
    # As in the authors' code, by mistake: while fine-tuning, only the head has the penalty.
    layer = "logits" if settings.finetunes and settings.start.legacy else ""
    compile_model(
        model,
        settings,
        l2_layer=layer,
        first_steps=settings.objective.first_steps(settings.schedule.steps),
        first_boundaries=settings.objective.first_boundaries(),
    )
    return model


def fit(
    model: keras.Model, videos: Videos, way: Augmentation, settings: Settings, watch: Watch
) -> None:
    """Trains from the watch's step to the end, phase by phase, or until it is interrupted."""
    for end, begin in settings.objective.phases(settings.schedule.steps):
        if watch.stopped or watch.step >= end:
            continue
        watch.phase = begin(model, watch, len(videos.train), settings)
        loop.fit(model, videos.train, videos.sampling, way, settings, end, watch, watch.phase)
