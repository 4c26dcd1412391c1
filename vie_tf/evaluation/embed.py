"""Embeddings of whole videos from those of their clips."""

from __future__ import annotations

from typing import Callable

import numpy as np
import tensorflow as tf
from tensorflow import keras

from vie_tf.data import pipeline
from vie_tf.data.augmentation import ColourNoise, colour_noise
from vie_tf.data.sampling import TEST_CLIPS, Sampling
from vie_tf.data.videos import VideoSet
from vie_tf.evaluation.recall import recall_at_1
from vie_tf.progress import track


def embedder(network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """The network's embedding in inference mode, compiled once: clips -> float32 [B, D]."""

    @tf.function(reduce_retracing=True)
    def embed(clip):
        return network(clip, training=False)["embedding"]

    return embed


def classifier(network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """The supervised network's probabilities in inference mode: clips -> float32 [B, classes]."""

    @tf.function(reduce_retracing=True)
    def classify(clip):
        return tf.nn.softmax(network(clip, training=False)["logits"])

    return classify


def embed_clips(
    embed: Callable,
    videos: VideoSet,
    sampling: Sampling,
    image_size: int,
    clips: int = TEST_CLIPS,
    what: str = "",
) -> np.ndarray:
    """Embeds evenly spaced clips of every video.

    Args:
        embed: from `embedder`, or `classifier`: then the rows are probabilities.
        videos: what to embed.
        sampling: which frames make a clip: that of the network's family.
        image_size: side of the clips in pixels.
        clips: G, how many of each video.
        what: name of the batches in the progress line; '' shows none.

    Returns:
        float32 [N, G, D], unit rows.
    """
    batches = pipeline.test_batches(videos, sampling, image_size, clips)
    if what:
        total = -(-len(videos.ids) * clips // pipeline.EVALUATION_BATCH)
        batches = track(batches, what, total)
    rows = [embed(batch["clip"]).numpy() for batch in batches]
    return np.concatenate(rows).reshape(len(videos.ids), clips, -1)


def video_embeddings(clip_embeddings: np.ndarray) -> np.ndarray:
    """Eq. 1: the normalised mean over a video's clips, [N, G, D] -> float32 [N, D]."""
    mean = clip_embeddings.mean(axis=1)
    return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)


def instance_recall(
    embed: Callable,
    videos: VideoSet,
    sampling: Sampling,
    image_size: int,
    colour: ColourNoise,
    seed: int = 0,
    queries: int = 4,
    flip: bool = True,
) -> float:
    """How often an augmented clip of a video's first half finds its second half among all videos.

    Needs no labels; on held-out videos it tells whether what was learned carries over. Chance is
    one in the number of videos.

    Args:
        embed: from `embedder`.
        videos: the gallery, and the source of the queries.
        sampling: which frames make a clip: that of the network's family.
        image_size: side of the clips in pixels.
        colour: the augmentation's colour noise.
        seed: of the queries' augmentation; the same one gives the same queries.
        queries: clips a video on either side.
        flip: whether half of the queries are mirrored.

    Returns:
        Share in 0..1 of all queries.
    """
    shape = (len(videos.ids), queries, -1)
    asked = [
        embed(colour_noise(batch["clip"], batch["seed"], colour)).numpy()
        for batch in pipeline.first_half_batches(
            videos, sampling, image_size, seed, queries, flip=flip
        )
    ]
    asked = np.concatenate(asked).reshape(shape)
    kept = [
        embed(batch["clip"]).numpy()
        for batch in pipeline.second_half_batches(videos, sampling, image_size, queries)
    ]
    gallery = video_embeddings(np.concatenate(kept).reshape(shape))
    return float(np.mean([recall_at_1(asked[:, q], gallery) for q in range(queries)]))
