"""The modes that use a trained network: knn, embed, retrieve, export."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import logging
from rich.console import Console
from rich.progress import track
from tensorflow import keras

from vie_tf import workdir
from vie_tf.data.videos import VideoSet, open_video, open_videos
from vie_tf.errors import InputError
from vie_tf.evaluation import embed as embedding
from vie_tf.evaluation.knn import knn_accuracy, nearest
from vie_tf.models import families
from vie_tf.training import checkpoints
from vie_tf.training.pretrain import pretrain  # noqa: F401 (the mode that makes them)


def knn(flags) -> None:
    """k-NN accuracy of the test split's videos among the train split's; the last line is JSON."""
    network, image_size = load_run(flags)
    videos = open_videos(flags.data, flags.decoder, flags.label_column)
    if not len(videos.label_names):
        raise InputError(f"--mode=knn: {flags.data} has no labels; give a CSV with a label column")
    train, test = (videos.subset(videos.splits == split) for split in ("train", "test"))
    if not len(train.ids) or not len(test.ids):
        raise InputError(
            f"--mode=knn: {flags.data} has no train and test split; give a CSV with a split column"
        )
    embed = embedding.embedder(network)
    rows = embedding.embed_clips(embed, train, image_size, flags.clips, shown("train"))
    clips = embedding.embed_clips(embed, test, image_size, flags.clips, shown("test"))
    result = knn_accuracy(
        clips,
        test.labels,
        embedding.video_embeddings(rows),
        train.labels,
        len(videos.label_names),
        flags.k,
    )
    print(
        f"{flags.k}-NN accuracy of {result['videos']} videos: {result['top1']:.4f}, "
        f"95 % interval {result['low']:.4f} to {result['high']:.4f}"
    )
    print(json.dumps(result))


def embed(flags) -> None:
    """Writes the embedding of every video to an .npz file."""
    network, image_size = load_run(flags)
    videos = open_videos(flags.data, flags.decoder, flags.label_column)
    clips = embedding.embed_clips(
        embedding.embedder(network), videos, image_size, flags.clips, shown("embedding")
    )
    names = np.array([*videos.label_names, ""])
    out = Path(flags.out)
    part = out.with_name(out.name + ".part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            np.savez(
                file,
                ids=np.array(videos.ids),
                embeddings=embedding.video_embeddings(clips),
                labels=names[videos.labels],
                split=videos.splits,
            )
        part.replace(out)
    except OSError as error:
        raise InputError(f"cannot write --out={out}: {error.strerror}") from error
    print(f"{len(videos.ids)} videos: {out}")


def retrieve(flags) -> None:
    """Finds the nearest videos of one or of all, as text and as a picture."""
    from vie_tf.evaluation import retrieval

    network, image_size = load_run(flags)
    videos = open_videos(flags.data, flags.decoder, flags.label_column)
    compute = embedding.embedder(network)
    rows = embedding.video_embeddings(
        embedding.embed_clips(compute, videos, image_size, flags.clips, shown("embedding"))
    )
    gallery = rows_of(videos, "train")
    if flags.query and flags.query not in videos.ids:  # a file from elsewhere
        queries = open_video(flags.query, flags.decoder)
        asked = embedding.video_embeddings(
            embedding.embed_clips(compute, queries, image_size, flags.clips)
        )
        itself = None
    else:
        wanted = (
            np.array([videos.ids.index(flags.query)]) if flags.query else rows_of(videos, "test")
        )
        queries, asked = videos.subset(wanted), rows[wanted]
        place = {row: i for i, row in enumerate(gallery)}
        itself = np.array([place.get(row, -1) for row in wanted])
    found, similarities = nearest(asked, rows[gallery], 3, itself)
    table = []
    for i, (neighbours, likeness) in enumerate(zip(found, similarities)):
        draw = i < retrieval.MAX_ROWS
        near = [shown_video(videos, gallery[n], s, draw) for n, s in zip(neighbours, likeness)]
        table.append((shown_video(queries, i, None, draw), near))
    print("\n".join(retrieval.retrieval_table(table)))
    retrieval.retrieval_picture(flags.out, table)
    print(f"picture: {flags.out}")


def export(flags) -> None:
    """Writes the network as a SavedModel."""
    from vie_tf import export as saved_model

    # What TensorFlow says while it saves is about its own insides.
    logging.set_verbosity(logging.ERROR)
    network, _ = load_run(flags, any_size=True)
    saved_model.export(network, flags.out)
    print(f"SavedModel: {flags.out}")


def rows_of(videos: VideoSet, split: str) -> np.ndarray:
    """Rows of a split, or all rows where the data has no such split."""
    rows = np.flatnonzero(videos.splits == split)
    return rows if len(rows) else np.arange(len(videos.ids))


def shown_video(videos: VideoSet, row: int, similarity: float | None, draw: bool):
    """A video as `retrieval` shows it, with its middle frame if it is to be drawn."""
    from vie_tf.evaluation import retrieval

    frame = None
    if draw:
        box = tf.constant([0, 0, *videos.sizes[row]], tf.int32)
        middle = tf.constant([videos.frames[row] // 2], tf.int64)
        frame = videos.read(tf.constant(videos.numbers[row], tf.int64), middle, box)[0].numpy()
    label = videos.label_names[videos.labels[row]] if videos.labels[row] >= 0 else ""
    return retrieval.Video(videos.ids[row], label, similarity, frame)


def load_run(flags, any_size: bool = False) -> tuple[keras.Model, int]:
    """The trained network of --workdir in float32, and its image size."""
    folder = Path(flags.workdir)
    run = workdir.read_flags(folder)
    for name in ("family", "depth", "image_size"):
        if flags[name].present and str(flags[name].value) != run[name]:
            raise InputError(
                f"--{name}={flags[name].value}, but {folder} was trained with "
                f"--{name}={run[name]}: leave the flag out"
            )
    return load_network(folder, any_size), int(run["image_size"])


def load_network(folder: Path, any_size: bool = False) -> keras.Model:
    """The network of a run with the weights of its newest checkpoint, in float32."""
    run = workdir.read_flags(folder)
    image_size = None if any_size else int(run["image_size"])
    network = families.build(run["family"], image_size, depth=int(run["depth"]))
    step = checkpoints.restore_network(folder / "checkpoints", network)
    print(f"{run['family']} of {folder} at step {step}", file=sys.stderr)
    return network


def shown(what: str):
    """Progress with ETA of an iteration over batches, on the terminal's error stream."""
    console = Console(stderr=True)
    return lambda batches, total: track(batches, what, total, console=console, transient=True)
