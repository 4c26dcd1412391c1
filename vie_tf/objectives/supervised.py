"""The objectives that learn labels, those of the videos or of a pretext task.

The tasks are in `pretext`, the model in `supervised_model`; modules that need TensorFlow are
imported inside the methods, since flags are read without it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Callable, ClassVar

from vie_tf.errors import InputError
from vie_tf.objectives.objective import Objective
from vie_tf.settings import Settings

if TYPE_CHECKING:
    from vie_tf.data.augmentation import ColourNoise
    from vie_tf.data.pipeline import TestClips
    from vie_tf.data.sampling import Sampling
    from vie_tf.data.videos import VideoSet
    from vie_tf.keras2 import keras
    from vie_tf.objectives.pretext import Pretext


@dataclass(frozen=True)
class Labels(Objective):
    """Learns the videos' labels: the supervised counterpart of VIE, and fine-tuning."""

    title: ClassVar[str] = "the labels"
    labels: ClassVar[bool] = True

    def task(self) -> Pretext | None:
        """Returns the pretext task, or None if the labels are those of the videos."""
        return None

    def head(self, classes: int) -> dict[str, object]:
        """Returns the head's options for `families.build`; `classes` counts those of the data."""
        task = self.task()
        if task is None:
            return {"num_classes": classes}
        return {"num_classes": task.classes, "classify": task.classify}

    def model(
        self, network: keras.Model, videos: int, colour: ColourNoise, settings: Settings
    ) -> keras.Model:
        """Returns the model, not yet compiled."""
        from vie_tf.objectives.supervised_model import Supervised

        return Supervised(network, colour, self.task())

    def measures(
        self, model: keras.Model, embed: Callable, held_out: VideoSet, clips: TestClips, k: int
    ) -> Callable[[], dict[str, float]]:
        """Measures `top1`: the accuracy on the labelled videos or on what the task shows."""
        from vie_tf.evaluation import embed as embedding
        from vie_tf.objectives import pretext

        task, labelled = self.task(), held_out.subset(held_out.labels >= 0)
        if task:
            solve = pretext.solver(model.network, task)
        else:
            classify = embedding.classifier(model.network)

        def measure() -> dict[str, float]:
            if task and len(held_out):
                solved = embedding.clip_means(solve, held_out, replace(clips, count=1))
                return {"top1": float(solved.mean())}
            if not task and len(labelled):
                guessed = embedding.clip_means(classify, labelled, clips).argmax(axis=1)
                return {"top1": float((guessed == labelled.labels).mean())}
            return {}

        return measure

    def plateau_of(self, train: VideoSet, held_out: VideoSet, k: int) -> str:
        """Returns the metric watched for a plateau."""
        return "top1" if self.task() or (held_out.labels >= 0).any() else "recall_at_1"


@dataclass(frozen=True)
class Order(Labels):
    """Learns the order in which a clip's frames are shown (OPN)."""

    title: ClassVar[str] = "the order of frames (OPN)"
    labels: ClassVar[bool] = False

    def task(self) -> Pretext:
        from vie_tf.objectives import pretext

        return pretext.PRETEXTS["order"]

    def check_family(self, family: str) -> None:
        from vie_tf.models import families
        from vie_tf.models.trn import trn

        kinds = families.FAMILIES.items()
        fit = [name for name, kind in kinds if kind.network is trn and kind.sampling.frames == 4]
        if family not in fit:
            raise InputError(
                "--loss=order takes a family that sees four frames one by one, not --family="
                f"{family}: choose one of {', '.join(fit)}"
            )

    def taken(
        self, train: VideoSet, held_out: VideoSet, sampling: Sampling, where: str
    ) -> tuple[VideoSet, VideoSet, str]:
        """Leaves out videos that are shorter than a clip: a clip that loops has no order.

        Raises:
            InputError: no training video is left.
        """
        spanned, watched = (part.frames >= sampling.shortest for part in (train, held_out))
        if not spanned.any():
            raise InputError(
                f"{where}: no training video has the {sampling.shortest} frames that a clip of the "
                "family spans; give longer ones, or another --family"
            )
        short = int((~spanned).sum() + (~watched).sum())
        said = f"; {short} of fewer than {sampling.shortest} frames left out" if short else ""
        return train.subset(spanned), held_out.subset(watched), said


@dataclass(frozen=True)
class Rotation(Labels):
    """Learns how a clip is rotated (3DRotNet)."""

    title: ClassVar[str] = "the rotation of clips (3DRotNet)"
    labels: ClassVar[bool] = False

    def task(self) -> Pretext:
        from vie_tf.objectives import pretext

        return pretext.PRETEXTS["rotation"]
