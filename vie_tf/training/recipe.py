"""The constants of a run: the paper's for large data sets, others for small ones."""

from __future__ import annotations

from dataclasses import dataclass

# The paper's constants are kept from here on (its data set has 240,000 videos).
LARGE = 20_000


@dataclass(frozen=True)
class Recipe:
    """What depends on the number of videos.

    Attributes:
        noise_samples: K of the NCE estimate; 0 is the softmax over the whole bank.
        temperature: tau of eq. 2.
        bank_momentum: share of the old row in eq. 1's running mean.
        bn_momentum: of batch normalisation's moving statistics.
        learning_rate: of momentum SGD.
        ir_steps: of Instance Recognition before Local Aggregation; about 27 epochs.
        neighbours: K, the background neighbours of Local Aggregation.
        clusters: number of clusters of each clustering; the paper's hold 30 videos each.
        cluster_every: steps between clusterings; an epoch.
    """

    noise_samples: int = 4096
    temperature: float = 0.07
    bank_momentum: float = 0.5
    bn_momentum: float = 0.997
    learning_rate: float = 0.03
    ir_steps: int = 50_000
    neighbours: int = 512
    clusters: tuple[int, ...] = (8000,)
    cluster_every: int = 1874


def fine_tuning(videos: int, started: bool) -> dict[str, float]:
    """Fine-tuning's own defaults (appendix E), by flag.

    Args:
        videos: to train on; a batch has no more clips.
        started: whether it starts from a run's weights, not from scratch.
    """
    return {
        "batch_size": min(128, videos),
        "learning_rate": 0.0005 if started else 0.01,
        "weight_decay": 1e-5 if started else 1e-4,
    }


def recipe(videos: int, batch_size: int) -> Recipe:
    """The default constants for a number of training videos and the global batch size."""
    epoch = max(1, videos // batch_size)
    if videos >= LARGE:
        return Recipe(clusters=(min(8000, round(videos / 30)),), cluster_every=epoch)
    return Recipe(
        noise_samples=0,
        temperature=0.2,
        bn_momentum=0.98,
        learning_rate=0.01,
        ir_steps=27 * epoch,
        # More than a cluster holds, so that some of them are not close.
        neighbours=min(512, videos, max(60, videos // 10)),
        # Of one cluster alone all neighbours would be close, and nothing would be learned.
        clusters=(max(2, round(videos / 10)),),
        cluster_every=epoch,
    )
