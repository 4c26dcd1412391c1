"""What a run shows while it trains: progress line, metrics.jsonl, TensorBoard, evaluation."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Callable

import tensorflow as tf
from tensorflow import keras

from vie_tf.errors import InputError
from vie_tf.training.checkpoints import Checkpoints


def keep_up_to(metrics: Path, step: int) -> None:
    """Drops from metrics.jsonl what was written after the step that a run goes on from.

    At step 0 that is everything: the untrained network is evaluated again.
    """
    if not metrics.exists():
        return
    kept = []
    for line in metrics.read_text().splitlines():
        try:
            if 0 < step and json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError):  # the last line of a killed run may be half of one
            continue
    whole = metrics.with_suffix(".part")
    whole.write_text("".join(kept))
    whole.replace(metrics)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds as people read them: 1:02:03 or 2:03."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Watch(keras.callbacks.Callback):
    """Logs, evaluates and saves at their steps.

    Args:
        workdir: metrics.jsonl and tensorboard/ are written there.
        checkpoints: of the run.
        evaluate: returns the sparse metrics (k-NN, recall at 1, ...) of the model as it is.
        first_step: the step that the run goes on from.
        last_step: where it ends.
        batch_size: the global one.
        log_every, evaluate_every, save_every: in steps.
    """

    # Keras would otherwise wait for the device after every step to hand over numbers.
    _supports_tf_logs = True

    def __init__(
        self,
        workdir: Path,
        checkpoints: Checkpoints,
        evaluate: Callable[[], dict[str, float]],
        first_step: int,
        last_step: int,
        batch_size: int,
        log_every: int,
        evaluate_every: int,
        save_every: int,
    ):
        super().__init__()
        self.checkpoints, self.evaluate = checkpoints, evaluate
        self.step, self.last_step, self.batch_size = first_step, last_step, batch_size
        self.log_every, self.evaluate_every = log_every, evaluate_every
        self.save_every = save_every
        keep_up_to(workdir / "metrics.jsonl", first_step)
        self._file = open(workdir / "metrics.jsonl", "a", buffering=1)
        self._board = tf.summary.create_file_writer(str(workdir / "tensorboard"))
        self._terminal = sys.stderr.isatty()
        self.interrupted = False  # set it to stop after the step that is under way
        self._shown = 0.0

    def on_train_begin(self, logs=None) -> None:
        if self.step == 0:
            self.record(self.evaluated())
        self._pace_from()

    def _pace_from(self) -> None:
        self._since = (self.step, time.perf_counter(), self.model.seconds_waiting)

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.step += 1
        last = self.step == self.last_step
        if self.step % self.log_every == 0 or last:
            losses = {name: float(value) for name, value in logs.items()}
            first, start, waited = self._since
            seconds = time.perf_counter() - start
            pace = {
                "learning_rate": float(self.model.optimizer.learning_rate),
                "clips_per_second": (self.step - first) * self.batch_size / seconds,
                "data_wait": (self.model.seconds_waiting - waited) / seconds,
            }
            if not math.isfinite(losses["loss"]):
                raise InputError(
                    f"the loss is {losses['loss']} at step {self.step}: the run has "
                    "diverged; start another with a lower --learning_rate or --precision=float32"
                )
            self.show(losses["loss"], pace)
            self.record({**losses, **pace})
            self._pace_from()
        if self.step % self.evaluate_every == 0 or last:
            self.record(self.evaluated())
            self._pace_from()
        if self.step % self.save_every == 0 or last or self.interrupted:
            self.checkpoints.save()
        self.model.stop_training = self.interrupted

    def evaluated(self) -> dict[str, float]:
        metrics = self.evaluate()
        said = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        self.say(f"step {self.step}: {said}")
        return metrics

    def record(self, metrics: dict[str, float]) -> None:
        self._file.write(json.dumps({"step": self.step, **metrics}) + "\n")
        with self._board.as_default(self.step):
            for name, value in metrics.items():
                tf.summary.scalar(name, value)

    def show(self, loss: float, pace: dict[str, float]) -> None:
        """The progress line: redrawn on a terminal, else a line every ten seconds."""
        left = (self.last_step - self.step) * self.batch_size / pace["clips_per_second"]
        line = (
            f"step {self.step}/{self.last_step}  loss {loss:.3f}  "
            f"{pace['clips_per_second']:.0f} clips/s  waiting for data {pace['data_wait']:.0%}  "
            f"ETA {duration(left)}"
        )
        if self._terminal:
            print(f"\r\x1b[2K{line}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._shown > 10 or self.step == self.last_step:
            print(line, file=sys.stderr, flush=True)
            self._shown = time.monotonic()

    def say(self, line: str) -> None:
        """A line that stays."""
        print(f"\r\x1b[2K{line}" if self._terminal else line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._terminal:
            print(file=sys.stderr)
        self._file.close()
        self._board.close()
