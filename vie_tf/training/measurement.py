"""What a run measures of its network on the held-out videos while it trains."""

from __future__ import annotations

from typing import Callable

from vie_tf.data.augmentation import Augmentation
from vie_tf.data.pipeline import TestClips
from vie_tf.data.videos import VideoSet
from vie_tf.evaluation import embed as embedding
from vie_tf.keras2 import keras
from vie_tf.settings import Settings


def measurement(
    model: keras.Model,
    held_out: VideoSet,
    clips: TestClips,
    recipe: Augmentation,
    settings: Settings,
) -> Callable[[], dict[str, float]]:
    """Returns a function that measures the current network on the held-out videos.

    Args:
        model: being trained.
        held_out: the videos to measure on; without videos or labels, metrics are left out.
        clips: which clips of each video.
        recipe: the run's augmentation, for the queries of `recall_at_1`.
        settings: of the run.

    Returns:
        The function returns `recall_at_1` (of two videos or more, not while fine-tuning), and what
        the objective measures.
    """
    recall, embed = None, embedding.embedder(model.network)
    if len(held_out) > 1 and not settings.finetunes:
        recall = embedding.instance_recall(embed, held_out, clips, recipe)
    own = settings.objective.measures(model, embed, held_out, clips, settings.evaluation.k)

    def measure() -> dict[str, float]:
        return ({"recall_at_1": recall()} if recall else {}) | own()

    return measure
