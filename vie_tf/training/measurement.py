"""What a run measures of its network on the held-out videos while it trains."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Union

from vie_tf.data.augmentation import Augmentation
from vie_tf.data.pipeline import TestClips
from vie_tf.data.videos import VideoSet
from vie_tf.evaluation import embed as embedding
from vie_tf.evaluation.knn import knn_accuracy
from vie_tf.evaluation.recall import effective_dimension
from vie_tf.objectives import pretext
from vie_tf.training.supervised import Supervised
from vie_tf.training.vie import VIE

Model = Union[VIE, Supervised]


def measurement(
    model: Model, held_out: VideoSet, clips: TestClips, recipe: Augmentation, flags
) -> Callable[[], dict[str, float]]:
    """A function that says how good the network is now, on the held-out videos.

    Args:
        model: being trained.
        held_out: the videos that are watched; none, or some without labels, leave metrics out.
        clips: which of each video.
        recipe: how the run's clips look, for the queries of `recall_at_1`.
        flags: mode, k, legacy.

    Returns:
        It returns what applies of `recall_at_1` (of two videos or more, not while fine-tuning),
        `top1` (of a network that learns labels or a pretext task), and of one with a bank
        `effective_dimension` and `knn_top1` (where videos and at least k rows have labels).
    """
    embed = embedding.embedder(model.network)
    classify = embedding.classifier(model.network)
    labelled = held_out.subset(held_out.labels >= 0)
    task = getattr(model, "pretext", None)
    solve = task and pretext.solver(model.network, task)

    def measure() -> dict[str, float]:
        metrics = {}
        if len(held_out) > 1 and flags.mode != "finetune":
            metrics["recall_at_1"] = embedding.instance_recall(embed, held_out, clips, recipe)
        if isinstance(model, Supervised):
            if task and len(held_out):
                solved = embedding.clip_means(solve, held_out, replace(clips, count=1))
                metrics["top1"] = float(solved.mean())
            elif not task and len(labelled):
                guessed = embedding.clip_means(classify, labelled, clips).argmax(axis=1)
                metrics["top1"] = float((guessed == labelled.labels).mean())
            return metrics
        bank = model.bank
        rows = bank.whole()
        metrics["effective_dimension"] = effective_dimension(rows)
        visited = bank.used()
        if len(labelled) and (visited & (bank.known_labels() >= 0)).sum() >= flags.k:
            metrics["knn_top1"] = knn_accuracy(
                embedding.embed_clips(embed, labelled, clips),
                labelled.labels,
                rows,
                bank.known_labels(),
                len(held_out.label_names),
                flags.k,
                visited=visited,
            )["top1"]
        return metrics

    return measure


def plateau_measure(flags, train: VideoSet, held_out: VideoSet) -> str:
    """The metric of `measurement` that tells a plateau."""
    if flags.loss in pretext.PRETEXTS:
        return "top1"
    if not (held_out.labels >= 0).any():
        return "recall_at_1"
    if flags.loss == "supervised":
        return "top1"
    return "knn_top1" if (train.labels >= 0).sum() >= flags.k else "recall_at_1"
