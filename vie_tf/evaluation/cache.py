"""Features of a set's clips, computed once and kept on disk."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

from vie_tf.data.pipeline import TestClips
from vie_tf.data.videos import VideoSet
from vie_tf.errors import InputError
from vie_tf.evaluation.embed import clip_batches
from vie_tf.evaluation.taps import Taps
from vie_tf.keras2 import keras
from vie_tf.output import whole


def cached_features(
    network: keras.Model,
    taps: Taps,
    videos: VideoSet,
    clips: TestClips,
    what: str,
    folder: Path,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Returns the features of every clip, from the folder or, where missing, from the network.

    Args:
        network: frozen.
        taps: the features that read-outs see.
        videos: as in `embed_clips`.
        clips: as in `embed_clips`.
        what: as in `embed_clips`.
        folder: for exactly these features; each tap is a file TAP.npy.

    Returns:
        float32 [K, D] of each tap by name, on disk, and the row of each clip's video, int64 [K].

    Raises:
        InputError: the disk has no room for the features.
    """
    batches, counts = clip_batches(videos, clips, what)
    count = int(counts.sum())
    missing = [name for name in taps.outputs if not (folder / f"{name}.npy").exists()]
    if missing:
        wanted = Taps({name: taps.outputs[name] for name in missing}, taps.largest)
        _compute(network, wanted, batches, count, folder)
    kept = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in taps.outputs}
    return kept, np.repeat(np.arange(len(videos)), counts)


def _compute(network: keras.Model, taps: Taps, batches, count: int, folder: Path) -> None:
    """Writes a file for each tap: all of them, or none."""
    shape = network.input.shape[1:]

    @tf.function(input_signature=[tf.TensorSpec((None, *shape), tf.uint8)])  # traced once
    def features(clip):
        return taps(network(clip, training=False))

    black = features(tf.zeros((1, *shape), tf.uint8))
    shapes = {name: (count, row.shape[1]) for name, row in black.items()}
    needed = sum(4 * rows * values for rows, values in shapes.values())
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < needed:  # before computing, not after
        raise InputError(
            f"--cached: {folder} needs {needed:,} bytes for the features, and the disk has no room "
            "for them; make room, or give fewer --taps or --clips"
        )
    with contextlib.ExitStack() as stack:
        files = {}
        for name in taps.outputs:
            part = stack.enter_context(whole(folder / f"{name}.npy"))
            # Not np.memmap, with which a full disk kills the process.
            files[name] = stack.enter_context(part.open("wb"))
            head = {"descr": "<f4", "fortran_order": False, "shape": shapes[name]}
            np.lib.format.write_array_header_1_0(files[name], head)
        for batch in batches:
            for name, rows in features(batch["clip"]).items():
                files[name].write(rows.numpy().data)
