"""The interface of an objective to training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, ClassVar

if TYPE_CHECKING:
    from vie_tf.data.augmentation import ColourNoise
    from vie_tf.data.pipeline import TestClips
    from vie_tf.data.sampling import Sampling
    from vie_tf.data.videos import VideoSet
    from vie_tf.keras2 import keras
    from vie_tf.settings import Settings

# From this number of videos on, the paper's constants are used (its data set has 240,000).
LARGE = 20_000

# Begins a phase: takes (model, watch, number of videos, settings), returns the phase's callbacks,
# which may have `before_save()`, and `progress(metrics)`, a text for the progress line.
Begin = Callable[..., Sequence["keras.callbacks.Callback"]]


@dataclass(frozen=True)
class Objective:
    """An objective: its fields are its settings, its methods are called by training.

    Only `model` must be overridden; the defaults of the others suit most objectives.

    Attributes:
        title: what --help says of it.
        bank: whether its model has a `bank`, whose rows can be searched.
        labels: whether it learns the videos' labels, so that held-out videos test it.
    """

    title: ClassVar[str] = ""
    bank: ClassVar[bool] = False
    labels: ClassVar[bool] = False

    def constants(self, videos: int, batch_size: int) -> dict[str, Any]:
        """Returns values for settings that were not given, by number of videos and batch size."""
        return {}

    def check_family(self, family: str) -> None:
        """Raises InputError if a family of networks cannot learn this objective."""

    def taken(
        self, train: VideoSet, held_out: VideoSet, sampling: Sampling, where: str
    ) -> tuple[VideoSet, VideoSet, str]:
        """Returns the usable training videos, the usable held-out videos, and text to print.

        Args:
            train: to train on.
            held_out: to evaluate on.
            sampling: which frames make a clip.
            where: of the videos, for messages.

        Raises:
            InputError: no training video is usable.
        """
        return train, held_out, ""

    def check(self, settings: Settings, videos: int) -> None:
        """Raises InputError if the settings, which are complete, do not fit together."""

    def head(self, classes: int) -> dict[str, Any]:
        """Returns the head's options for `families.build`; `classes` counts those of the data."""
        return {"num_classes": None}

    def model(
        self, network: keras.Model, videos: int, colour: ColourNoise, settings: Settings
    ) -> keras.Model:
        """Returns the model, not yet compiled, that trains a network in its `take_step`.

        `take_step` takes a batch and returns what is logged, including `loss` and `learning_rate`.
        The model has the network as `network`; what else a checkpoint holds, by name, as `state`;
        `plateau`, the schedule's or None; `seconds_waiting`, for batches; and `left_out`, a list of
        int64 [B], the rows of clips that could not be read, -1 for others. `training.step` has
        what such a step shares; tests/toy_objective.py is a whole objective.
        """
        raise NotImplementedError

    def phases(self, steps: int) -> list[tuple[int, Begin]]:
        """Returns the phases of a run: the last step of each, and what begins it."""
        return [(steps, lambda model, watch, videos, settings: [])]

    def first_steps(self, steps: int) -> int:
        """Returns the number of steps before the last phase; 0 while it is not set."""
        ends = [end for end, _ in self.phases(steps)]
        return ends[-2] or 0 if ends[1:] else 0

    def first_boundaries(self) -> tuple[int, ...]:
        """Returns the steps after which the learning rate drops in the first of several phases."""
        return ()

    def measures(
        self, model: keras.Model, embed: Callable, held_out: VideoSet, clips: TestClips, k: int
    ) -> Callable[[], dict[str, float]]:
        """Returns the function that measures the model while it trains.

        Args:
            model: as returned by `model`.
            embed: clips to embeddings, by the model's network.
            held_out: the videos to evaluate on, perhaps none.
            clips: which clips of each video.
            k: of the k-NN classifier.

        Returns:
            A function that returns metrics by name, called at each evaluation.
        """
        return dict

    def plateau_of(self, train: VideoSet, held_out: VideoSet, k: int) -> str:
        """Returns the metric watched for a plateau."""
        return "recall_at_1"
