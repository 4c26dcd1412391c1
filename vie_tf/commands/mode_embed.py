"""--mode=embed: writes the embedding of every video."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np

from vie_tf.commands.flags import FLAGS, settings
from vie_tf.commands.given_run import load, opened
from vie_tf.errors import InputError
from vie_tf.evaluation import embed as embedding
from vie_tf.output import whole, writable
from vie_tf.runs import workdir


def run() -> None:
    """Writes the embedding of every video to an .npz file."""
    out = writable(FLAGS.out)
    of = load()
    videos = opened(of.clips.sampling)
    said = of.said | workdir.said_of_data(settings().data, videos.fingerprint)
    said |= {"clips": FLAGS.clips}
    needed = len(videos) * of.network.output_shape["embedding"][-1] * np.dtype(np.float32).itemsize
    if shutil.disk_usage(out.parent).free < needed:  # before computing, not after
        raise InputError(f"--out={out}: the disk has no room for {needed:,} bytes; make room")
    clips = embedding.embed_clips(embedding.embedder(of.network), videos, of.clips, "batches")
    content = io.BytesIO()
    np.savez(
        content,
        ids=np.array(videos.ids),
        embeddings=embedding.video_embeddings(clips),
        labels=videos.names,
        split=videos.splits,
        run=json.dumps(said),
    )
    with whole(out) as part:
        part.write_bytes(content.getbuffer())
    print(f"{len(videos)} videos: {out}")
