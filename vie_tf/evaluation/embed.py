"""Embeddings of whole videos from those of their clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Callable

import numpy as np
import tensorflow as tf

from vie_tf.data import pipeline
from vie_tf.data.augmentation import VIE_AUGMENTATION, Augmentation, ColourNoise, colour_noise
from vie_tf.data.pipeline import TestClips
from vie_tf.data.videos import VideoSet
from vie_tf.evaluation.recall import recall_at_1
from vie_tf.keras2 import keras
from vie_tf.models.inference import of_clips
from vie_tf.progress import track

QUERIES = 4  # of recall at 1: clips per video, of queries and of gallery


def embedder(network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the network's embedding in inference mode, traced once: clips -> float32 [B, D]."""
    return of_clips(network, lambda clip: network(clip, training=False)["embedding"])


def classifier(network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a network's class probabilities in inference mode: clips -> float32 [B, classes]."""
    return of_clips(network, lambda clip: tf.nn.softmax(network(clip, training=False)["logits"]))


def embed_clips(
    embed: Callable, videos: VideoSet, clips: TestClips, what: str = ""
) -> np.ndarray | list[np.ndarray]:
    """Embeds the test clips of every video.

    Args:
        embed: from `embedder`.
        videos: what to embed.
        clips: which clips, as the network takes them.
        what: name of the batches in the progress line; '' shows none.

    Returns:
        float32 [N, G, D], unit rows; for a `count` of 0, a list of N arrays [G, D], each with its
        own G.
    """
    batches, counts = clip_batches(videos, clips, what)
    rows = np.concatenate([embed(batch["clip"]).numpy() for batch in batches])
    if clips.count:
        return rows.reshape(len(videos), counts[0], -1)
    return np.split(rows, np.cumsum(counts)[:-1])


def clip_batches(
    videos: VideoSet, clips: TestClips, what: str = ""
) -> tuple[Iterable[dict[str, tf.Tensor]], np.ndarray]:
    """Returns `embed_clips`' batches, videos slowest, and each video's clip count, int64 [N]."""
    batches, counts = pipeline.test_batches(videos, clips), clips.counts(videos)
    if what:
        batches = track(batches, what, -(-counts.sum() // pipeline.EVALUATION_BATCH))
    return batches, counts


def clip_means(compute: Callable, videos: VideoSet, clips: TestClips, what: str = "") -> np.ndarray:
    """Computes means over each video's clips, such as probabilities; keeps only those in memory.

    Args:
        compute: maps clips uint8 [B, T, H, W, 3] to float32 [B, ...].
        videos: as in `embed_clips`.
        clips: as in `embed_clips`.
        what: as in `embed_clips`.

    Returns:
        float32 [N, ...].
    """
    batches, counts = clip_batches(videos, clips, what)
    totals = None
    for batch in batches:
        rows = compute(batch["clip"]).numpy()
        if totals is None:
            totals = np.zeros((len(videos), *rows.shape[1:]), np.float32)
        np.add.at(totals, batch["index"].numpy(), rows)
    return totals / counts.reshape(-1, *[1] * (totals.ndim - 1)).astype(np.float32)


def video_embeddings(clip_embeddings: Sequence[np.ndarray]) -> np.ndarray:
    """The normalised mean over each video's clips, N arrays [G, D] -> float32 [N, D]."""
    mean = np.stack([clips.mean(axis=0) for clips in clip_embeddings])
    return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)


def _noisy(batch: dict[str, tf.Tensor], colour: ColourNoise) -> tf.Tensor:
    """Returns the batch's clips with colour noise, which is compiled for a single size."""
    count = len(batch["seed"])
    places = np.arange(pipeline.EVALUATION_BATCH) % count
    clip, seed = (tf.gather(batch[name], places) for name in ("clip", "seed"))
    return colour_noise(clip, seed, colour)[:count]


def instance_recall(
    embed: Callable,
    videos: VideoSet,
    clips: TestClips,
    augmentation: Augmentation = VIE_AUGMENTATION,
) -> Callable[[], float]:
    """Returns a measurement of instance recall, to be called as the network learns.

    It is how often an augmented clip of a video's first half finds the video's second half, among
    those of all videos. It needs no labels; on held-out videos it shows whether learning
    generalises. Chance is one in the number of videos.

    Args:
        embed: from `embedder`.
        videos: the gallery, and the source of the queries.
        clips: those that the network takes; the second half is cropped in the same way.
        augmentation: of the queries, which are the same each time.

    Returns:
        A function that returns the share of all queries, in 0..1.
    """
    clips = replace(clips, count=QUERIES)
    first = pipeline.first_half_batches(videos, clips, augmentation)
    second = pipeline.second_half_batches(videos, clips)

    def measure() -> float:
        asked = [embed(_noisy(batch, augmentation.colour)).numpy() for batch in first]
        asked = np.concatenate(asked).reshape(len(videos), QUERIES, -1)
        kept = [embed(batch["clip"]).numpy() for batch in second]
        gallery = video_embeddings(np.concatenate(kept).reshape(len(videos), -1, asked.shape[-1]))
        return float(np.mean([recall_at_1(asked[:, q], gallery) for q in range(QUERIES)]))

    return measure
