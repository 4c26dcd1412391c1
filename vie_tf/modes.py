"""The modes look, knn, embed, retrieve, readout and export; those that make a run are imported."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import logging

from vie_tf import export as saved_model
from vie_tf import workdir
from vie_tf.config import LEARNING
from vie_tf.data import stills
from vie_tf.data.frames import pixels
from vie_tf.data.sampling import Sampling
from vie_tf.data.videos import VideoSet, open_video, open_videos
from vie_tf.device import strategy
from vie_tf.errors import InputError, reason
from vie_tf.evaluation import embed as embedding
from vie_tf.evaluation import results, retrieval, searched
from vie_tf.evaluation.knn import TEMPERATURE, nearest
from vie_tf.evaluation.labelled import overlap, same_videos
from vie_tf.import_checkpoint import import_checkpoint  # noqa: F401 (as pretrain)
from vie_tf.look import contact_sheet, first_looks
from vie_tf.models import families
from vie_tf.objectives import pretext
from vie_tf.output import whole, writable
from vie_tf.readout import read_out
from vie_tf.report import findings, tables, text
from vie_tf.report.pictures import pictures
from vie_tf.trained import load_run
from vie_tf.training.pretrain import pretrain, training_videos  # noqa: F401 (a mode too)
from vie_tf.training.settings import augmentation, settle

finetune = pretrain  # --mode tells them apart


def look(flags) -> None:
    """Draws the first clips that training would see with these flags."""
    out = writable(flags.out)
    sampling = families.sampling_of(flags.family, flags.legacy, flags.frame_interval)
    families.check(flags.depth, flags.image_size)
    pretext.check_family(flags.loss, flags.family)
    videos = open_videos(
        flags.data, flags.decoder, flags.label_column, flags.split_column, skips=True
    )
    train, _, said = training_videos(flags, videos, sampling)
    print(said)
    settle(flags, len(train))
    looks = first_looks(train, sampling, flags.image_size, flags.seed, augmentation(flags))
    with whole(out) as part:
        contact_sheet(str(part), looks)
    print(f"picture: {out}")


def knn(flags) -> None:
    """Prints k-NN accuracy and class recall of the test split; the last line is JSON."""
    if flags.embeddings:
        source = flags.embeddings
        train, test, said = searched.read_embeddings(source, flags.workdir)
        searched.check(source, train, test, flags.k)
    else:
        run, source = load_run(flags), flags.data
        videos = opened(flags, run.clips.sampling)
        said = run.said | workdir.said_of_data(flags, videos.fingerprint) | {"clips": flags.clips}
        parts = [videos.subset(videos.splits == split) for split in ("train", "test")]
        train, test = (searched.Searched(part.names) for part in parts)
        if flags.bank:
            train = searched.read_bank(flags.workdir, flags.label_column, flags.split_column)
            if said["trained_on"] != videos.fingerprint:
                print(
                    f"note: the bank was not made of {source}: test videos that it holds find "
                    "themselves",
                    file=sys.stderr,
                )
        # Before minutes of embedding.
        searched.check(source, train, test, flags.k)
        if same := overlap(*parts):
            print(f"note: {same_videos(same, parts[1])}", file=sys.stderr)
        embed = embedding.embedder(run.network)
        if not flags.bank:
            clips = embedding.embed_clips(embed, parts[0], run.clips, "training batches")
            train = train.with_clips(clips)
        test = test.with_clips(embedding.embed_clips(embed, parts[1], run.clips, "test batches"))
    said["searched"] = "bank" if flags.bank else "file" if flags.embeddings else "train"
    found = searched.measure(train, test, flags.k, flags.knn_temperature or TEMPERATURE)
    if flags.workdir:
        for kind, values in found.items():
            results.append(flags.workdir, kind, {**said, **values})
    print(searched.in_words(found))
    print(json.dumps({**found["retrieval"], **found["knn"]}))


def embed(flags) -> None:
    """Writes the embedding of every video to an .npz file."""
    out = writable(flags.out)
    run = load_run(flags)
    videos = opened(flags, run.clips.sampling)
    said = run.said | workdir.said_of_data(flags, videos.fingerprint) | {"clips": flags.clips}
    needed = len(videos) * run.network.output_shape["embedding"][-1] * np.dtype(np.float32).itemsize
    if shutil.disk_usage(out.parent).free < needed:  # now, not when all is computed
        raise InputError(f"--out={out}: the disk has no room for {needed:,} bytes; make room")
    clips = embedding.embed_clips(embedding.embedder(run.network), videos, run.clips, "batches")
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


def retrieve(flags) -> None:
    """Finds the nearest videos of one or of all, as text and as a picture."""
    out = writable(flags.out)
    run = load_run(flags)
    videos = opened(flags, run.clips.sampling)
    compute = embedding.embedder(run.network)

    def embedded(part: VideoSet, what: str) -> np.ndarray:
        return embedding.video_embeddings(embedding.embed_clips(compute, part, run.clips, what))

    gallery, itself = rows_of(videos, "train"), None
    row = videos.find(flags.query) if flags.query else None
    if flags.query and row is None and not Path(flags.query).is_file():
        raise InputError(
            f"--query={flags.query}: neither a file nor an id of {flags.data}; give one"
        )
    if flags.query and row is None:  # a file from elsewhere
        queries = open_video(flags.query, flags.decoder)
    else:
        wanted = np.array([row]) if flags.query else rows_of(videos, "test")
        queries = videos.subset(wanted)
        place = {row: i for i, row in enumerate(gallery)}
        itself = np.array([place.get(row, -1) for row in wanted])
    others = len(gallery) - int(itself is not None and (itself >= 0).any())
    if not others:
        raise InputError(f"--mode=retrieve: {flags.data} has no other video to find")
    # The queries first: one that cannot be read is known before hours of embedding.
    asked = embedded(queries, "query batches")
    rows = embedded(videos.subset(gallery), "batches")
    found, similarities = nearest(asked, rows, min(3, others), itself)
    # Drawn from all over the set: neighbouring files are often alike.
    drawn = set(np.linspace(0, len(queries) - 1, retrieval.MAX_ROWS).astype(int).tolist())
    table = []
    for i, near in enumerate(zip(gallery[found], similarities)):
        neighbours = [shown_video(videos, row, s, i in drawn) for row, s in zip(*near)]
        table.append((shown_video(queries, i, None, i in drawn), neighbours))
    print("\n".join(retrieval.retrieval_table(table)))
    with whole(out) as part:
        retrieval.retrieval_picture(str(part), [table[i] for i in sorted(drawn)])
    print(f"picture: {out}")


def readout(flags) -> None:
    """Linear read-outs of taps of the frozen network: accuracy on the test split."""
    with strategy().scope():
        read_out(flags, load_run(flags, own=LEARNING))


def report(flags) -> None:
    """Writes what evaluations of many runs found: report.md, report.csv and pictures."""
    out = writable(flags.out, "report.md")
    found = findings.gather(flags.workdirs)
    last = findings.latest(found)
    papers, rest = tables.in_the_paper(last)
    plain = tables.others(rest)
    with whole(out) as part:
        part.mkdir()
        drawn = pictures(found, tables.others(last), part)
        said = text.markdown(papers, plain)
        shown = "".join(f"\n![{name}]({name})\n" for name in drawn)
        (part / "report.md").write_text(said + shown, encoding="utf-8")
        (part / "report.csv").write_text(text.comma_separated(papers, plain), encoding="utf-8")
    print(said)
    print(f"report: {', '.join(str(out / name) for name in ('report.md', 'report.csv', *drawn))}")


def export(flags) -> None:
    """Writes the network as a SavedModel."""
    # What TensorFlow says while it saves is about its own insides.
    logging.set_verbosity(logging.ERROR)
    out = writable(flags.out, "saved_model.pb")
    network = load_run(flags, any_size=True).network
    try:
        with whole(out) as part:
            saved_model.export(network, str(part))
    except tf.errors.OpError as error:
        raise InputError(f"cannot write --out={out}: {reason(error)}; give another") from error
    print(f"SavedModel: {out}")


def opened(flags, sampling: Sampling) -> VideoSet:
    """The videos of --data that are to be embedded."""
    videos = open_videos(flags.data, flags.decoder, flags.label_column, flags.split_column)
    stills.tell((videos,), sampling, f"--mode={flags.mode}: {flags.data}")
    return videos


def rows_of(videos: VideoSet, split: str) -> np.ndarray:
    """Rows of a split, or all rows where the data has no such split."""
    rows = np.flatnonzero(videos.splits == split)
    return rows if len(rows) else np.arange(len(videos.ids))


def shown_video(
    videos: VideoSet, row: int, similarity: float | None, draw: bool
) -> retrieval.Video:
    """A video as `retrieval` shows it, with its middle frame if it is to be drawn."""
    frame = None
    if draw:
        frame = pixels(videos.read_row(row, [videos.frames[row] // 2]))[0].numpy()
    return retrieval.Video(videos.ids[row], videos.names[row], similarity, frame)
