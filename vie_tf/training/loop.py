"""Trains any model from its newest checkpoint to the last step."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Callable

import tensorflow as tf

from vie_tf import device
from vie_tf.data import pipeline
from vie_tf.data.augmentation import Augmentation
from vie_tf.data.sampling import Sampling
from vie_tf.data.videos import VideoSet, damage
from vie_tf.errors import InputError, writing_to
from vie_tf.keras2 import keras
from vie_tf.runs.checkpoints import Checkpoints
from vie_tf.settings import Settings
from vie_tf.training.step import timed_train_function
from vie_tf.training.watch import Watch


def restore(saved: Checkpoints, folder: Path, last: int) -> int | None:
    """Loads the newest checkpoint; returns the steps it has taken, or None if there is none.

    Raises:
        InputError: it is past the last step, or cannot be read.
    """
    step = saved.restore()
    if step is not None and step > last:
        raise InputError(f"{folder} is at step {step}, past --steps={last}: give more steps")
    return step


def watched(
    folder: Path,
    saved: Checkpoints,
    evaluate: Callable[[], dict[str, float]],
    step: int,
    videos: VideoSet,
    settings: Settings,
    plateau_from: int = 0,
    plateau_of: str = "top1",
    best: Checkpoints | None = None,
) -> Watch:
    """Returns the `Watch` of a training run.

    Args:
        folder: for metrics.jsonl and tensorboard/; held by this process.
        saved: the run's checkpoints.
        evaluate: as in `Watch`.
        step: as returned by `restore`, 0 if there was no checkpoint.
        videos: those trained on.
        settings: complete; of schedule and record.
        plateau_from: as in `Watch`.
        plateau_of: as in `Watch`.
        best: as in `Watch`.
    """
    record = settings.record
    return Watch(
        folder,
        saved,
        evaluate,
        step,
        settings.schedule.steps,
        settings.schedule.batch_size,
        record.log_every,
        plateau_from=plateau_from,
        plateau_of=plateau_of,
        evaluate_every=record.evaluate_every,
        save_every=record.save_every,
        videos=videos,
        max_unreadable=settings.data.max_unreadable,
        best=best,
    )


def train(watch: Watch, saved: Checkpoints, fit: Callable[[], None], compiles: bool) -> None:
    """Trains, saves and shows progress until the last step, SIGINT or SIGTERM.

    Args:
        watch: of the run; closed at the end.
        saved: the run's checkpoints.
        fit: trains the model of `saved` from the watch's step to the last, with it as a callback.
        compiles: whether the network is compiled at the first step.

    Raises:
        InputError: the folder cannot be written, or training cannot go on.
        SystemExit: with 130, after a signal.
    """
    first = watch.step
    with contextlib.closing(watch), writing_to(watch.folder):
        if first:
            watch.line.say(f"going on from step {first}")
        else:
            saved.save()
        if first < watch.last_step:
            if device.on_gpu() and compiles:
                watch.line.say("the first step compiles the network for the GPU: up to a minute")
            with stoppable(watch):
                fit()
        elif first == 0:
            watch.evaluate_now()
    if watch.step < watch.last_step:
        print(f"stopped at step {watch.step}; the same command goes on", file=sys.stderr)
        sys.exit(130)


def fit(
    model: keras.Model,
    videos: VideoSet,
    sampling: Sampling,
    augmentation: Augmentation,
    settings: Settings,
    end: int,
    watch: Watch,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Trains a model from the watch's step to `end`.

    Args:
        model: compiled.
        videos: to train on.
        sampling: which frames make a clip.
        augmentation: of the clips.
        settings: complete.
        end: the last step.
        watch: of the run.
        callbacks: called before the watch.

    Raises:
        InputError: the tf.data service ran out of batches.
    """
    batches = pipeline.training_batches(
        videos,
        sampling,
        settings.schedule.batch_size,
        settings.clips.image_size,
        settings.start.seed,
        watch.step,
        end,
        augmentation,
        settings.data.data_service,
    )
    steps = end - watch.step
    model.train_function = timed_train_function(model)
    model.fit(batches, steps_per_epoch=steps, verbose=0, callbacks=[*callbacks, watch])
    if watch.step < end and not watch.stopped:
        watch.save()
        raise InputError(
            f"--data_service: no more batches came after step {watch.step} (a worker that "
            "stops takes its own with it); saved, and the same command goes on"
        )


@contextlib.contextmanager
def stoppable(watch: Watch) -> Iterator[None]:
    """Stops training in the block on SIGINT or SIGTERM, and saves if a damaged video ends it."""

    def stop(number, frame):
        # The current step is finished and saved first; a second signal ends the process at once.
        watch.interrupted = True
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except tf.errors.OpError as error:
        if damage(error) is not None:  # between two steps
            watch.save()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
