"""Tests a network that learned labels: at the end of training, and at its best."""

from __future__ import annotations

from pathlib import Path

from vie_tf.data.pipeline import TestClips
from vie_tf.data.videos import VideoSet
from vie_tf.evaluation import embed as embedding
from vie_tf.evaluation.classification import accuracy
from vie_tf.keras2 import keras
from vie_tf.runs import results, workdir
from vie_tf.runs.trained import restore_network
from vie_tf.settings import Settings

BEST = "best"  # sub-folder of a run's folder: the run as it was at its best evaluation


def report(
    network: keras.Model,
    test: VideoSet,
    clips: TestClips,
    folder: Path,
    settings: Settings,
    identity: dict,
) -> None:
    """Tests the last and the best network of a run on all test videos, and stores the results.

    The last one was not chosen by the test videos; the best one was, as in the paper.

    Args:
        network: as at the end of training; afterwards it has the weights of the best one.
        test: labelled videos.
        clips: of each video.
        folder: of the run.
        settings: of the run.
        identity: the content of data.json.
    """
    classify = embedding.classifier(network)

    def tested() -> dict:
        probabilities = embedding.clip_means(classify, test, clips, "test batches")
        return accuracy(probabilities, test.labels)

    found = tested()
    best_step = restore_network(folder / BEST / "checkpoints", network)
    best = found if best_step == settings.schedule.steps else tested()
    values = {
        **workdir.said_of_data(settings.data, identity["fingerprint"]),
        "classes": len(identity["label_names"]),
        "family": settings.network.family,
        "loss": settings.loss,
        "start": identity["start"],
        "start_step": identity["start_step"],
        "augmentation": settings.clips.augmentation,
        "subset": settings.data.subset,
        "seed": settings.start.seed,
        "clips": settings.evaluation.clips,
        "ten_crop": settings.evaluation.ten_crop,
        "step": settings.schedule.steps,
        **found,
        "best_step": best_step,
        **{f"best_{name}": value for name, value in best.items() if name != "videos"},
    }
    results.append(folder, "finetune" if settings.finetunes else "supervised", values)
    print(
        f"top-1 of {found['videos']} test videos: {found['top1']:.4f}, 95 % interval "
        f"{found['top1_low']:.4f} to {found['top1_high']:.4f} (top-5 {found['top5']:.4f}); at its "
        f"best, step {best_step}: {best['top1']:.4f} (top-5 {best['top5']:.4f}); start: "
        f"{identity['start']}, augmentation: {settings.clips.augmentation}"
    )
