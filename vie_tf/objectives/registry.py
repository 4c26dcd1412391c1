"""The objectives, by the names of --loss, and what training asks of each.

An objective is a frozen dataclass of its own settings, made with `vie_tf.settings.setting`, that
has what `Objective` says. A new one is a file of its own, and a line in OBJECTIVES.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable, Protocol

from vie_tf.objectives.label_learning import Labels, Order, Rotation
from vie_tf.objectives.vie import InstanceRecognition, LocalAggregation, VideoInstanceEmbedding

if TYPE_CHECKING:
    from tensorflow import keras

    from vie_tf.settings import Settings

OBJECTIVES: dict[str, type] = {
    "ir": InstanceRecognition,
    "la": LocalAggregation,
    "vie": VideoInstanceEmbedding,
    "supervised": Labels,
    "order": Order,
    "rotation": Rotation,
}

# What begins a phase: (model, watch, number of videos, settings) to the callbacks of its steps.
Begin = Callable[..., Sequence["keras.callbacks.Callback"]]


class Objective(Protocol):
    """What training asks of an objective.

    Attributes:
        bank: whether its model has a `bank`, whose rows can be searched.
        labels: whether it learns the videos' labels, so that held-out videos test it.
    """

    bank: bool
    labels: bool

    def constants(self, videos: int, batch_size: int) -> dict[str, object]:
        """Defaults of its own settings by the number of training videos and the global batch."""

    def check_family(self, family: str) -> None:
        """Raises InputError where a family cannot learn so."""

    def taken(self, train, held_out, sampling, where: str) -> tuple[Any, Any, str]:
        """The videos that do, of those to train on and those held out, and what to say of it."""

    def check(self, settings: Settings, videos: int) -> None:
        """Raises InputError on settings, complete ones, that do not go together."""

    def head(self, classes: int) -> dict[str, object]:
        """The options of `families.build` for the head; `classes` are those of the data."""

    def model(self, network, videos: int, colour, settings: Settings) -> keras.Model:
        """A model that trains the network in its `train_step`, and has it as `network`.

        Besides it has what `training.step.timed_train_function` asks for. Its `state` names what a
        checkpoint holds next to network and optimizer.
        """

    def phases(self, steps: int) -> list[tuple[int, Begin]]:
        """The phases of a run: the step that each ends with, and what begins it."""

    def measures(self, model, held_out, clips, k: int) -> Callable[[], dict[str, float]]:
        """What is measured of the model on held-out videos while it trains."""

    def plateau_of(self, train, held_out, k: int) -> str:
        """The metric that tells a plateau."""
