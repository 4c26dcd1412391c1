"""The objectives Instance Recognition, Local Aggregation and VIE, with their settings.

The losses are in `instance_recognition` and `local_aggregation`, the model in `vie_model`; modules
that need TensorFlow are imported inside the methods, since flags are read without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, ClassVar

from vie_tf.errors import InputError
from vie_tf.objectives.objective import LARGE, Begin, Objective
from vie_tf.settings import Settings, setting, text

if TYPE_CHECKING:
    from vie_tf.data.augmentation import ColourNoise
    from vie_tf.data.pipeline import TestClips
    from vie_tf.data.videos import VideoSet
    from vie_tf.keras2 import keras
    from vie_tf.training.watch import Watch


@dataclass(frozen=True)
class _WithBank(Objective):
    """The base of all objectives with a memory bank."""

    bank: ClassVar[bool] = True

    temperature: float | None = setting(
        None,
        # Below 0.02, exp(1 / tau) nears the limit of float32.
        "Temperature tau of eq. 2. Default: depends on the number of videos.",
        least=0.02,
        kind=float,
    )
    bank_momentum: float | None = setting(
        None,
        "Momentum of eq. 1. Default: depends on the number of videos.",
        least=0,
        most=1,
        kind=float,
    )
    bank_precision: str | None = setting(
        None,
        "Precision of the memory bank's rows. Default: float32.",
        choices=("float32", "bfloat16"),
        kind=str,
    )
    shard_bank: bool = setting(
        False,
        "Keeps a share of the bank on each GPU instead of a copy, for banks larger than one GPU's "
        "memory.",
    )

    def constants(self, videos: int, batch_size: int) -> dict[str, object]:
        """The paper's values for large data sets; an epoch is `videos // batch_size` steps."""
        epoch, large = max(1, videos // batch_size), videos >= LARGE
        return {
            "temperature": 0.07 if large else 0.2,
            "bank_momentum": 0.5,
            "bank_precision": "float32",
            "noise_samples": 4096 if large else 0,
            "ir_steps": 50_000 if large else 27 * epoch,
            # More than a cluster holds, so that some of them are not close.
            "neighbours": 512 if large else min(512, videos, max(60, videos // 10)),
            # The paper's hold 30 videos each. With one cluster, all neighbours would be close, and
            # nothing would be learned.
            "clusters": (min(8000, round(videos / 30)) if large else max(2, round(videos / 10)),),
            "cluster_every": epoch,
            "cluster_lag": 0,
        }

    def model(
        self, network: keras.Model, videos: int, colour: ColourNoise, settings: Settings
    ) -> keras.Model:
        """Returns the model, not yet compiled."""
        from vie_tf.objectives.memory_bank import MemoryBank
        from vie_tf.objectives.vie_model import VIE

        bank = MemoryBank(
            videos,
            momentum=self.bank_momentum,
            seed=settings.start.seed,
            legacy=settings.start.legacy,
            precision=self.bank_precision,
            sharded=self.shard_bank,
        )
        return VIE(
            network,
            bank,
            temperature=self.temperature,
            colour=colour,
            seed=settings.start.seed,
            **self.of_model(videos),
        )

    def of_model(self, videos: int) -> dict[str, object]:
        """Returns the model's arguments besides the bank and the temperature."""
        raise NotImplementedError

    def measures(
        self, model: keras.Model, embed: Callable, held_out: VideoSet, clips: TestClips, k: int
    ) -> Callable[[], dict[str, float]]:
        """The bank's `effective_dimension`, and `knn_top1` if videos and k rows have labels."""
        from vie_tf.evaluation.embed import embed_clips
        from vie_tf.evaluation.knn import knn_accuracy
        from vie_tf.evaluation.recall import effective_dimension

        labelled = held_out.subset(held_out.labels >= 0)

        def measure() -> dict[str, float]:
            rows, labels, used = model.bank.whole(), model.bank.known_labels(), model.bank.used()
            metrics = {"effective_dimension": effective_dimension(rows)}
            if len(labelled) and (used & (labels >= 0)).sum() >= k:
                metrics["knn_top1"] = knn_accuracy(
                    embed_clips(embed, labelled, clips),
                    labelled.labels,
                    rows,
                    labels,
                    len(held_out.label_names),
                    k,
                    visited=used,
                )["top1"]
            return metrics

        return measure

    def plateau_of(self, train: VideoSet, held_out: VideoSet, k: int) -> str:
        """Returns the metric watched for a plateau."""
        labelled = (held_out.labels >= 0).any() and (train.labels >= 0).sum() >= k
        return "knn_top1" if labelled else "recall_at_1"


@dataclass(frozen=True)
class InstanceRecognition(_WithBank):
    """Tells each video from all others (paper section 3, eq. 2)."""

    title: ClassVar[str] = "Instance Recognition"

    noise_samples: int | None = setting(
        None,
        "K of the NCE estimate; 0: exact softmax. Default: depends on the number of videos.",
        least=0,
        kind=int,
    )

    def of_model(self, videos: int) -> dict[str, object]:
        return {"noise_samples": self.noise_samples}

    def check(self, settings: Settings, videos: int) -> None:
        if self.shard_bank and not self.noise_samples:
            raise InputError(
                "--shard_bank: the exact softmax (--noise_samples=0) takes the bank as a whole; "
                "give --noise_samples=4096"
            )


@dataclass(frozen=True)
class LocalAggregation(_WithBank):
    """Pulls each video towards those of its neighbours that share its cluster (eq. 4)."""

    title: ClassVar[str] = "Local Aggregation"

    neighbours: int | None = setting(
        None,
        "LA: K, background neighbours. Default: depends on the number of videos.",
        least=1,
        kind=int,
    )
    clusters: tuple[int, ...] | None = setting(
        None,
        "LA: number of clusters, or one for each of several clusterings. Default: depends on the "
        "number of videos.",
        kind=int,
        least=1,
    )
    cluster_every: int | None = setting(
        None, "LA: steps between clusterings. Default: an epoch.", least=1, kind=int
    )
    cluster_lag: int | None = setting(
        None,
        "LA: a clustering takes effect this many steps after it starts, and is computed during "
        "them. Default: 0, training waits for it.",
        least=0,
        kind=int,
    )

    def of_model(self, videos: int) -> dict[str, object]:
        from vie_tf.objectives.clustering import Clusters

        return {"clusters": Clusters(videos, len(self.clusters)), "neighbours": self.neighbours}

    def first_clustering(self, videos: int, batch_size: int) -> int:
        """Returns the step after which the bank, filled for an epoch, is first clustered."""
        return min(max(1, videos // batch_size), self.cluster_every)

    def check(self, settings: Settings, videos: int) -> None:
        schedule = settings.schedule
        first = self.first_clustering(videos, schedule.batch_size)
        if 0 < schedule.steps <= first:
            raise InputError(
                f"--loss=la fills the bank for {first} steps, and --steps={schedule.steps} leave "
                "none to learn in: give more"
            )
        self.check_clusterings()

    def check_clusterings(self) -> None:
        """Raises InputError if there is none, or one would not end before the next begins."""
        if not self.clusters:
            raise InputError("--clusters takes numbers from 1 on, such as 8000 or 500,500,500")
        if self.cluster_lag >= self.cluster_every:
            raise InputError(
                f"--cluster_lag={self.cluster_lag} must be below --cluster_every="
                f"{self.cluster_every}, the steps from clustering to clustering"
            )

    def phases(self, steps: int) -> list[tuple[int, Begin]]:
        """Returns one phase, in which the bank is clustered repeatedly."""
        return [(steps, self.aggregate)]

    def aggregate(
        self, model: keras.Model, watch: Watch, videos: int, settings: Settings
    ) -> Sequence[keras.callbacks.Callback]:
        """Switches to LA for the steps that follow; returns the callback that clusters the bank."""
        from vie_tf.objectives.reclustering import Reclustering

        model.aggregate()
        reclustering = Reclustering(
            model.bank,
            model.clusters,
            list(self.clusters),
            self.first_clustering(videos, settings.schedule.batch_size),
            self.cluster_every,
            self.cluster_lag,
            settings.start.seed,
            watch,
        )
        return [reclustering]


@dataclass(frozen=True)
class VideoInstanceEmbedding(InstanceRecognition, LocalAggregation):
    """Instance Recognition, then Local Aggregation (the paper's VIE)."""

    title: ClassVar[str] = "Video Instance Embedding, IR for --ir_steps and then LA"

    ir_steps: int | None = setting(
        None, "Steps of IR before LA. Default: depends on videos and batch.", least=1, kind=int
    )
    ir_lr_boundaries: tuple[int, ...] | None = setting(
        None,
        "As --lr_boundaries, in IR, counted from its start; LA starts again at the full rate.",
        kind=int,
        least=0,
        ascending=True,
    )

    def of_model(self, videos: int) -> dict[str, object]:
        return InstanceRecognition.of_model(self, videos) | LocalAggregation.of_model(self, videos)

    def first_boundaries(self) -> tuple[int, ...]:
        return self.ir_lr_boundaries or ()

    def first_clustering(self, videos: int, batch_size: int) -> int:
        """Returns IR's last step: the bank is full by then."""
        return self.ir_steps

    def check(self, settings: Settings, videos: int) -> None:
        InstanceRecognition.check(self, settings, videos)
        if 0 < settings.schedule.steps <= self.ir_steps:
            raise InputError(
                f"--loss=vie begins with {self.ir_steps} steps of IR, and --steps="
                f"{settings.schedule.steps} leave none to LA: give more --steps, or fewer "
                "--ir_steps"
            )
        if self.ir_lr_boundaries and self.ir_lr_boundaries[-1] >= self.ir_steps:
            raise InputError(
                f"--ir_lr_boundaries={text(self.ir_lr_boundaries)}: IR ends after step "
                f"{self.ir_steps}; give steps before that"
            )
        self.check_clusterings()

    def phases(self, steps: int) -> list[tuple[int, Begin]]:
        """Returns two phases: IR, then LA."""
        return [*Objective.phases(self, self.ir_steps), (steps, self.aggregate)]
