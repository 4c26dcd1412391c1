"""Monitors training: progress line, metrics.jsonl, TensorBoard, evaluation, checkpoints."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Callable

import tensorflow as tf

from vie_tf import device
from vie_tf.data.videos import VideoSet, why_unreadable
from vie_tf.errors import InputError
from vie_tf.keras2 import keras
from vie_tf.output import whole
from vie_tf.progress import Line, duration
from vie_tf.runs.checkpoints import Checkpoints


def keep_up_to(metrics: Path, step: int) -> list[dict]:
    """Drops from metrics.jsonl what was written after the step that a run resumes from.

    At step 0 that is everything: the untrained network is evaluated again.

    Returns:
        The entries that are kept.
    """
    if not metrics.exists():
        return []
    kept, entries = [], []
    for line in metrics.read_text().splitlines():
        try:
            if 0 < step and (entry := json.loads(line))["step"] <= step:
                kept.append(line + "\n")
                entries.append(entry)
        except (ValueError, KeyError):  # the last line of a killed run may be incomplete
            continue
    with whole(metrics) as part:
        part.write_text("".join(kept))
    return entries


def all_finite(network: keras.Model) -> bool:
    """Returns whether all weights and moving statistics are finite."""
    numbers = (w for w in network.weights if w.dtype.is_floating)  # not a count of steps
    return all(bool(tf.reduce_all(tf.math.is_finite(weight))) for weight in numbers)


class Watch(keras.callbacks.Callback):
    """Logs, evaluates and saves at regular steps.

    Args:
        workdir: metrics.jsonl and tensorboard/ are written there.
        checkpoints: of the run.
        evaluate: returns the sparse metrics (k-NN, recall at 1, ...) of the current model.
        first_step: the step that the run resumes from.
        last_step: where it ends.
        batch_size: the global one.
        plateau_from: the step after which evaluations are passed to the model's `plateau`.
        plateau_of: the metric that is passed.
        log_every, evaluate_every, save_every: in steps.
        videos: those trained on.
        max_unreadable: number of unreadable videos whose clips may be left out.
        best: keeps the run as it was when its `top1` was highest; None to keep none.
    """

    def __init__(
        self,
        workdir: Path,
        checkpoints: Checkpoints,
        evaluate: Callable[[], dict[str, float]],
        first_step: int,
        last_step: int,
        batch_size: int,
        log_every: int,
        plateau_from: int,
        plateau_of: str,
        evaluate_every: int,
        save_every: int,
        videos: VideoSet,
        max_unreadable: int,
        best: Checkpoints | None = None,
    ):
        super().__init__()
        # Keras would otherwise wait for the device after every step to pass on the logs; it has no
        # public name for this.
        self._supports_tf_logs = True
        self.folder, self.checkpoints, self.evaluate = workdir, checkpoints, evaluate
        self.step, self.last_step, self.batch_size = first_step, last_step, batch_size
        self.log_every, self.evaluate_every = log_every, evaluate_every
        self.plateau_from, self.plateau_of, self.save_every = plateau_from, plateau_of, save_every
        self.videos, self.max_unreadable = videos, max_unreadable
        self._unreadable, self._left_out = 0, set()  # clips; numbers of their videos
        self.best, self._highest = best, -1.0
        for metrics in keep_up_to(workdir / "metrics.jsonl", first_step):
            self._highest = max(self._highest, metrics.get("top1", -1.0))
        self._file = open(workdir / "metrics.jsonl", "a", buffering=1)
        self._board = tf.summary.create_file_writer(str(workdir / "tensorboard"))
        self.line = Line()
        self.phase = []  # the callbacks of the phase, see `objectives.objective.Begin`
        self.interrupted = False  # set to True to stop after the current step
        self.stopped = False  # whether it has stopped, and saved

    def on_train_begin(self, logs=None) -> None:
        if self.step == 0:
            self.evaluate_now()
        self._pace_from()

    def _pace_from(self) -> None:
        self._since = (self.step, time.perf_counter(), self.model.seconds_waiting)

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.step += 1
        last = self.step == self.last_step
        # Read once: a signal during what follows stops, and saves, after the next step.
        self.stopped = self.interrupted
        save = self.step % self.save_every == 0 or last or self.stopped
        log = self.step % self.log_every == 0 or last
        # Reading a value from a GPU waits for it, so not after every step.
        if self.model.left_out and (log or save or not device.on_gpu()):
            self._tell_unreadable()
        # The loss is that of the weights before the step; those after it are saved.
        finite = not (log or save) or math.isfinite(logs["loss"])
        if not finite or save and not all_finite(self.model.network):
            raise InputError(
                f"the loss is {float(logs['loss'])} at step {self.step}"
                f"{', but weights are not numbers' if finite else ''}: the run has diverged; "
                "start another with a lower --learning_rate or --precision=float32"
            )
        if log:
            metrics = {name: float(value) for name, value in logs.items()}
            first, start, waited = self._since
            seconds = time.perf_counter() - start
            metrics["clips_per_second"] = (self.step - first) * self.batch_size / seconds
            metrics["data_wait"] = (self.model.seconds_waiting - waited) / seconds
            metrics["unreadable"] = self._unreadable
            if (memory := device.memory()) is not None:
                metrics["gpu_memory"] = memory
            self.show(metrics, last)
            self.record(metrics)
            self._pace_from()
        if self.step % self.evaluate_every == 0 or last:
            metrics = self.evaluate_now()
            # Not the extra evaluation at the end: the run may be extended.
            due = self.step > self.plateau_from and self.step % self.evaluate_every == 0
            if self.model.plateau and due and self.plateau_of in metrics:
                self.model.plateau.see(metrics[self.plateau_of])
            self._pace_from()
        if save:
            self.save()
        self.model.stop_training = self.stopped

    def _tell_unreadable(self) -> None:
        """Reports the videos whose clips could not be read since the last call.

        Raises:
            InputError: more than `max_unreadable` videos since the start of this command.
        """
        rows = tf.concat(self.model.left_out, axis=0).numpy()
        self.model.left_out, rows = [], rows[rows >= 0]
        self._unreadable += len(rows)
        for row in rows:
            number = self.videos.numbers[row]  # rows may be bins of one video
            if number not in self._left_out:
                self._left_out.add(number)
                self.line.say(f"step {self.step}: left out {why_unreadable(self.videos, row)}")
        if len(self._left_out) > self.max_unreadable:
            self.save()
            raise InputError(
                f"{len(self._left_out)} videos could not be read, more than --max_unreadable="
                f"{self.max_unreadable}, such as {self.videos.ids[rows[-1]]}; saved at step "
                f"{self.step}: fix the videos, then the same command goes on"
            )

    def save(self) -> None:
        """Writes a checkpoint, after the phase's callbacks have finished their background work."""
        for callback in self.phase:
            getattr(callback, "before_save", lambda: None)()
        self.checkpoints.save()

    def evaluate_now(self) -> dict[str, float]:
        """Evaluates, records the metrics, and keeps the network if it is the best so far."""
        metrics = self.evaluated()
        if self.best and metrics.get("top1", -1.0) > self._highest:
            self._highest = metrics["top1"]
            self.best.save()
        if metrics:  # empty if no video is held out
            self.record(metrics)
        return metrics

    def evaluated(self) -> dict[str, float]:
        metrics = self.evaluate()
        if metrics:
            said = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
            self.line.say(f"step {self.step}: {said}")
        return metrics

    def record(
        self, metrics: dict[str, float], step: int | None = None, distributions: dict | None = None
    ) -> None:
        """Writes metrics to metrics.jsonl and TensorBoard, and distributions to TensorBoard."""
        step = self.step if step is None else step
        self._file.write(json.dumps({"step": step, **metrics}) + "\n")
        with self._board.as_default(step):
            for name, value in metrics.items():
                tf.summary.scalar(name, value)
            for name, values in (distributions or {}).items():
                tf.summary.histogram(name, values)

    def show(self, metrics: dict[str, float], last: bool) -> None:
        """Shows progress, logged metrics and the remaining time; the last step in any case."""
        left = (self.last_step - self.step) * self.batch_size / metrics["clips_per_second"]
        memory = f"memory {metrics['gpu_memory']:.1f} GB  " if "gpu_memory" in metrics else ""
        more = f"accuracy {metrics['accuracy']:.0%}  " if "accuracy" in metrics else ""
        for callback in self.phase:
            more += getattr(callback, "progress", lambda metrics: "")(metrics)
        self.line.show(
            f"step {self.step}/{self.last_step}  loss {metrics['loss']:.3f}  {more}"
            f"{metrics['clips_per_second']:.0f} clips/s  "
            f"waiting for data {metrics['data_wait']:.0%}  {memory}ETA {duration(left)}",
            last,
        )

    def close(self) -> None:
        """Ends the progress line, and closes metrics.jsonl and TensorBoard's file."""
        self.line.close()
        self._file.close()
        self._board.close()
