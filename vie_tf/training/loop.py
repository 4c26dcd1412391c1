"""Training from the newest checkpoint to the last step, of whatever learns."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Callable

import tensorflow as tf
from tensorflow import keras

from vie_tf import device
from vie_tf.data import pipeline
from vie_tf.data.augmentation import Augmentation
from vie_tf.data.sampling import Sampling
from vie_tf.data.videos import VideoSet, damage
from vie_tf.errors import InputError, writing_to
from vie_tf.training.checkpoints import Checkpoints
from vie_tf.training.step import timed_train_function
from vie_tf.training.watch import Watch


def restore(saved: Checkpoints, folder: Path, last: int) -> int | None:
    """Loads the newest checkpoint; returns the steps it has taken, None where there is none.

    Raises:
        InputError: it is past the last step, or cannot be read.
    """
    step = saved.restore()
    if step is not None and step > last:
        raise InputError(f"{folder} is at step {step}, past --steps={last}: give more steps")
    return step


def train(
    fit: Callable[[Watch], None],
    folder: Path,
    saved: Checkpoints,
    evaluate: Callable[[], dict[str, float]],
    step: int,
    videos: VideoSet,
    flags,
    plateau_from: int = 0,
    plateau_of: str = "top1",
    best: Checkpoints | None = None,
) -> None:
    """Trains, saves and shows how it goes, until the last step, SIGINT or SIGTERM.

    Args:
        fit: trains the model of `saved` from the watch's step to the last, with it as a callback.
        folder: for metrics.jsonl and tensorboard/; held by this process.
        saved: the run's checkpoints.
        evaluate: as `Watch`.
        step: what `restore` has returned, 0 where there was none.
        videos: those trained on.
        flags: steps, batch_size, log_every, evaluate_every, save_every, max_unreadable.
        plateau_from: as `Watch`.
        plateau_of: as `Watch`.
        best: as `Watch`.

    Raises:
        InputError: the folder cannot be written, or training cannot go on.
        SystemExit: with 130, after a signal.
    """
    watch = Watch(
        folder,
        saved,
        evaluate,
        step,
        flags.steps,
        flags.batch_size,
        flags.log_every,
        plateau_from=plateau_from,
        plateau_of=plateau_of,
        evaluate_every=flags.evaluate_every or max(1, min(5000, flags.steps // 10)),
        save_every=flags.save_every or max(1, min(5000, flags.steps // 20)),
        videos=videos,
        max_unreadable=flags.max_unreadable,
        best=best,
    )
    with contextlib.closing(watch), writing_to(folder):
        if step:
            watch.line.say(f"going on from step {step}")
        else:
            saved.save()
        if step < flags.steps:
            if device.on_gpu() and flags.xla:
                watch.line.say("the first step compiles the network for the GPU: up to a minute")
            with stoppable(watch):
                fit(watch)
        elif step == 0:
            watch.evaluate_now()
    if watch.step < flags.steps:
        print(f"stopped at step {watch.step}; the same command goes on", file=sys.stderr)
        sys.exit(130)


def fit(
    model: keras.Model,
    videos: VideoSet,
    sampling: Sampling,
    augmentation: Augmentation,
    flags,
    end: int,
    watch: Watch,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Trains a model on the clips of the steps from the watch's to `end`.

    Args:
        model: compiled.
        videos: to train on.
        sampling: which frames make a clip.
        augmentation: of the clips.
        flags: batch_size, image_size, seed, data_service.
        end: a step.
        watch: of the run.
        callbacks: called before the watch.

    Raises:
        InputError: a tf.data service has no more batches.
    """
    batches = pipeline.training_batches(
        videos,
        sampling,
        flags.batch_size,
        flags.image_size,
        flags.seed,
        watch.step,
        end,
        augmentation,
        flags.data_service,
    )
    steps = end - watch.step
    model.train_function = timed_train_function(model)
    model.fit(batches, steps_per_epoch=steps, verbose=0, callbacks=[*callbacks, watch])
    if watch.step < end and not watch.interrupted:
        watch.save()
        raise InputError(
            f"--data_service: no more batches came after step {watch.step} (a worker that "
            "stops takes its own with it); saved, and the same command goes on"
        )


@contextlib.contextmanager
def stoppable(watch: Watch) -> Iterator[None]:
    """Lets SIGINT and SIGTERM end the training in the block, and saves when a video fails it."""

    def stop(number, frame):
        # The step under way is finished, logged and saved; a second signal does not wait.
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
