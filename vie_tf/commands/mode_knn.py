"""--mode=knn: k-NN accuracy and class recall of the test split."""

from __future__ import annotations

import json
import sys

from vie_tf.commands.flags import FLAGS, settings
from vie_tf.commands.given_run import load, opened
from vie_tf.evaluation import embed as embedding
from vie_tf.evaluation import searched
from vie_tf.evaluation.knn import TEMPERATURE
from vie_tf.evaluation.labelled import overlap, same_videos
from vie_tf.runs import results, workdir


def run() -> None:
    """Prints k-NN accuracy and class recall of the test split; the last line is JSON."""
    train, test, said = of_file() if FLAGS.embeddings else of_videos()
    said["searched"] = "bank" if FLAGS.bank else "file" if FLAGS.embeddings else "train"
    found = searched.measure(train, test, FLAGS.k, FLAGS.knn_temperature or TEMPERATURE)
    if FLAGS.workdir:
        for kind, values in found.items():
            results.append(FLAGS.workdir, kind, {**said, **values})
    print(searched.in_words(found))
    print(json.dumps({**found["retrieval"], **found["knn"]}))


def of_file() -> tuple[searched.Searched, searched.Searched, dict]:
    """Returns gallery and queries from --embeddings, and their description for results."""
    train, test, said = searched.read_embeddings(FLAGS.embeddings, FLAGS.workdir)
    searched.check(FLAGS.embeddings, train, test, FLAGS.k)
    return train, test, said


def of_videos() -> tuple[searched.Searched, searched.Searched, dict]:
    """Does the same for the videos of --data with the network of --workdir, or its memory bank."""
    of, source = load(), FLAGS.data
    videos = opened(of.clips.sampling)
    said = of.said | workdir.said_of_data(settings().data, videos.fingerprint)
    said |= {"clips": FLAGS.clips}
    parts = [videos.subset(videos.splits == split) for split in ("train", "test")]
    train, test = (searched.Searched(part.names) for part in parts)
    if FLAGS.bank:
        train = searched.read_bank(FLAGS.workdir, FLAGS.label_column, FLAGS.split_column)
        if said["trained_on"] != videos.fingerprint:
            print(
                f"note: the bank was not made of {source}: test videos that it holds find "
                "themselves",
                file=sys.stderr,
            )
    # Checked before minutes of embedding.
    searched.check(source, train, test, FLAGS.k)
    if same := overlap(*parts):
        print(f"note: {same_videos(same, parts[1])}", file=sys.stderr)
    embed = embedding.embedder(of.network)
    if not FLAGS.bank:
        clips = embedding.embed_clips(embed, parts[0], of.clips, "training batches")
        train = train.with_clips(clips)
    return (
        train,
        test.with_clips(embedding.embed_clips(embed, parts[1], of.clips, "test batches")),
        said,
    )
