"""--mode=retrieve: finds the nearest videos of one video or of all."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vie_tf.commands.flags import FLAGS
from vie_tf.commands.given_run import load, opened
from vie_tf.data.frames import pixels
from vie_tf.data.videos import VideoSet, open_video
from vie_tf.drawing.retrieval_picture import MAX_ROWS, retrieval_picture
from vie_tf.errors import InputError
from vie_tf.evaluation import embed as embedding
from vie_tf.evaluation import retrieval
from vie_tf.evaluation.knn import nearest
from vie_tf.output import whole, writable


def run() -> None:
    """Finds the nearest videos of one video or of all, as text and as a picture."""
    out = writable(FLAGS.out)
    of = load()
    videos = opened(of.clips.sampling)
    compute = embedding.embedder(of.network)

    def embedded(part: VideoSet, what: str) -> np.ndarray:
        return embedding.video_embeddings(embedding.embed_clips(compute, part, of.clips, what))

    gallery = rows_of(videos, "train")
    queries, itself = asked(videos, gallery)
    others = len(gallery) - int(itself is not None and (itself >= 0).any())
    if not others:
        raise InputError(f"--mode=retrieve: {FLAGS.data} has no other video to find")
    # The queries first, so that one that cannot be read is found before hours of embedding.
    asked_with = embedded(queries, "query batches")
    rows = embedded(videos.subset(gallery), "batches")
    found, similarities = nearest(asked_with, rows, min(3, others), itself)
    # Spread over the whole set: neighbouring files are often alike.
    drawn = set(np.linspace(0, len(queries) - 1, MAX_ROWS).astype(int).tolist())
    table = []
    for i, near in enumerate(zip(gallery[found], similarities)):
        neighbours = [shown_video(videos, row, s, i in drawn) for row, s in zip(*near)]
        table.append((shown_video(queries, i, None, i in drawn), neighbours))
    print("\n".join(retrieval.retrieval_table(table)))
    with whole(out) as part:
        retrieval_picture(str(part), [table[i] for i in sorted(drawn)])
    print(f"picture: {out}")


def asked(videos: VideoSet, gallery: np.ndarray) -> tuple[VideoSet, np.ndarray | None]:
    """Returns the queries, and the place of each in the gallery: -1 if not there, None for a file.

    Raises:
        InputError: --query is neither a file nor one of the videos.
    """
    row = videos.find(FLAGS.query) if FLAGS.query else None
    if FLAGS.query and row is None:
        if not Path(FLAGS.query).is_file():
            raise InputError(
                f"--query={FLAGS.query}: neither a file nor an id of {FLAGS.data}; give one"
            )
        return open_video(FLAGS.query, FLAGS.decoder), None  # a file from elsewhere
    wanted = np.array([row]) if FLAGS.query else rows_of(videos, "test")
    place = {row: i for i, row in enumerate(gallery)}
    return videos.subset(wanted), np.array([place.get(row, -1) for row in wanted])


def rows_of(videos: VideoSet, split: str) -> np.ndarray:
    """Returns the rows of a split, or all rows if the data has no such split."""
    rows = np.flatnonzero(videos.splits == split)
    return rows if len(rows) else np.arange(len(videos.ids))


def shown_video(
    videos: VideoSet, row: int, similarity: float | None, draw: bool
) -> retrieval.Video:
    """Returns a video as `retrieval` shows it, with its middle frame if it is to be drawn."""
    frame = None
    if draw:
        frame = pixels(videos.read_row(row, [videos.frames[row] // 2]))[0].numpy()
    return retrieval.Video(videos.ids[row], videos.names[row], similarity, frame)
