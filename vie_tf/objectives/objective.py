"""What training asks of an objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, ClassVar

if TYPE_CHECKING:
    from tensorflow import keras

    from vie_tf.data.augmentation import ColourNoise
    from vie_tf.data.pipeline import TestClips
    from vie_tf.data.sampling import Sampling
    from vie_tf.data.videos import VideoSet
    from vie_tf.settings import Settings

# What begins a phase: (model, watch, number of videos, settings) to the callbacks of its steps,
# which may have `before_save()`, and `progress(metrics)`, a text for the progress line.
Begin = Callable[..., Sequence["keras.callbacks.Callback"]]


@dataclass(frozen=True)
class Objective:
    """An objective: its settings are its fields, and its methods what training asks of it.

    Only `model` has to be there; the others return what is right for most.

    Attributes:
        bank: whether its model has a `bank`, whose rows can be searched.
        labels: whether it learns the videos' labels, so that held-out videos test it.
    """

    bank: ClassVar[bool] = False
    labels: ClassVar[bool] = False

    def constants(self, videos: int, batch_size: int) -> dict[str, Any]:
        """Values of settings that were left open, by number of videos and batch size."""
        return {}

    def check_family(self, family: str) -> None:
        """Raises InputError where a family of networks cannot learn so."""

    def taken(
        self, train: VideoSet, held_out: VideoSet, sampling: Sampling, where: str
    ) -> tuple[VideoSet, VideoSet, str]:
        """The videos that do, of those to train on and those held out, and what to say of it.

        Args:
            train: to train on.
            held_out: to watch it with.
            sampling: which frames make a clip.
            where: of the videos, for messages.

        Raises:
            InputError: none does.
        """
        return train, held_out, ""

    def check(self, settings: Settings, videos: int) -> None:
        """Raises InputError on settings, complete ones, that do not go together."""

    def head(self, classes: int) -> dict[str, Any]:
        """The options of `families.build` for the head; `classes` are those of the data."""
        return {"num_classes": None}

    def model(
        self, network: keras.Model, videos: int, colour: ColourNoise, settings: Settings
    ) -> keras.Model:
        """The model, not yet compiled, that trains a network in its `take_step`.

        That takes a batch and returns what is logged, `loss` and `learning_rate` among it. The
        model has the network as `network`; what else a checkpoint is to hold as `state`, by name;
        and `plateau`, `seconds_waiting` and `left_out` as `objectives.vie_model.VIE`.
        """
        raise NotImplementedError

    def phases(self, steps: int) -> list[tuple[int, Begin]]:
        """The phases of a run: the step that each ends with, and what begins it."""
        return [(steps, lambda model, watch, videos, settings: [])]

    def first_steps(self, steps: int) -> int:
        """The steps before the last phase; 0 as long as their number is open."""
        ends = [end for end, _ in self.phases(steps)]
        return ends[-2] or 0 if ends[1:] else 0

    def first_boundaries(self) -> tuple[int, ...]:
        """Steps after which the learning rate drops in the first of several phases."""
        return ()

    def measures(
        self, model: keras.Model, held_out: VideoSet, clips: TestClips, k: int
    ) -> Callable[[], dict[str, float]]:
        """What is measured of the model while it trains.

        Args:
            model: what `model` has returned.
            held_out: the videos that are watched, perhaps none.
            clips: which of each video.
            k: of the k-NN classifier.

        Returns:
            It returns numbers by name, and is called at each evaluation.
        """
        return dict

    def plateau_of(self, train: VideoSet, held_out: VideoSet, k: int) -> str:
        """The metric that tells a plateau."""
        return "recall_at_1"
