"""--mode=pretrain: from the flags to a run in its workdir."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import signal
import sys
from pathlib import Path
from typing import Callable

import numpy as np
import tensorflow as tf
from tensorflow import keras

from vie_tf import plots, workdir
from vie_tf.config import RUN
from vie_tf.data import pipeline
from vie_tf.data.augmentation import ColourNoise
from vie_tf.data.sampling import Sampling, binned, sampling_of
from vie_tf.data.videos import VideoSet, open_videos
from vie_tf.errors import InputError
from vie_tf.evaluation import embed as embedding
from vie_tf.evaluation.knn import knn_accuracy
from vie_tf.evaluation.recall import effective_dimension
from vie_tf.models import families
from vie_tf.objectives.memory_bank import MemoryBank
from vie_tf.training import recipe
from vie_tf.training.checkpoints import Checkpoints
from vie_tf.training.optimizer import Momentum, PiecewiseRate
from vie_tf.training.vie import VIE
from vie_tf.training.watch import Watch

# Evaluations during training look at no more held-out videos than this.
WATCHED = 1000


def pretrain(flags) -> None:
    """Trains a network, or goes on with it, and shows how it goes."""
    folder = Path(flags.workdir)
    videos = open_videos(flags.data, flags.decoder, flags.label_column)
    train, held_out = training_split(videos, flags.held_out, flags.seed)
    said = split_line(videos, train, held_out)
    sampling = sampling_of(flags.family, flags.legacy)
    train = train.subset(subset_rows(len(train), flags.subset, flags.seed, flags.legacy))
    if flags.subset < 1:
        said += f"; {len(set(train.ids))} videos drawn to train on"
    if flags.bin_frames:
        train = binned(train, sampling, flags.bin_frames)
        said += f"; {len(train)} bins"
    constants = chosen_constants(flags, len(train))
    keras.utils.set_random_seed(flags.seed)
    tf.config.experimental.enable_op_determinism()
    precision = set_precision(flags.precision)
    shown = {**dataclasses.asdict(constants), "precision": precision}
    print(f"{said}; " + ", ".join(f"{name} {value}" for name, value in shown.items()))
    colour = ColourNoise(*map(float, flags.colour_noise))
    replicas = strategy()
    if flags.batch_size % replicas.num_replicas_in_sync:
        raise InputError(
            f"--batch_size={flags.batch_size} cannot be shared evenly by "
            f"{replicas.num_replicas_in_sync} GPUs; give a multiple of their number"
        )
    with replicas.scope():
        network = families.build(
            flags.family, flags.image_size, depth=flags.depth, bn_momentum=constants.bn_momentum
        )
        bank = MemoryBank(
            len(train), momentum=constants.bank_momentum, seed=flags.seed, legacy=flags.legacy
        )
        model = VIE(
            network,
            bank,
            noise_samples=constants.noise_samples,
            temperature=constants.temperature,
            colour=colour,
            seed=flags.seed,
        )
        rate = PiecewiseRate(constants.learning_rate, flags.lr_boundaries, flags.warmup_steps)
        model.compile(Momentum(rate, l2=flags.weight_decay))
        settings = {name: flags[name].value for name in RUN}
        settings |= {**shown, "data": os.path.abspath(flags.data)}
        identity = {
            "data": settings["data"],
            "videos": len(videos),
            "fingerprint": videos.fingerprint,
            "label_names": videos.label_names,
        }
        workdir.check_run(folder, settings, identity)
        saved = Checkpoints(folder / "checkpoints", model, flags.keep)
        step = saved.restore()
    if step > flags.steps:
        raise InputError(f"{folder} is at step {step}, past --steps={flags.steps}: give more steps")
    evaluate = functools.partial(
        measure,
        model,
        held_out,
        len(videos.label_names),
        flags,
        sampling,
        embedding.embedder(network),
    )
    # Only now: a request that cannot be met leaves nothing behind.
    with workdir.held(folder, settings, identity):
        watch = Watch(
            folder,
            saved,
            evaluate,
            step,
            flags.steps,
            flags.batch_size,
            flags.log_every,
            evaluate_every=flags.evaluate_every or max(1, min(5000, flags.steps // 10)),
            save_every=flags.save_every or max(1, min(5000, flags.steps // 20)),
        )
        if step:
            watch.line.say(f"going on from step {step}")
        else:
            saved.save()
        if step < flags.steps:
            fit(model, train, sampling, flags, step, watch)
        elif step == 0:
            watch.record(watch.evaluated())
        watch.close()
        if watch.step < flags.steps:
            print(f"stopped at step {watch.step}; the same command goes on", file=sys.stderr)
            sys.exit(130)
        plots.learning_curves(str(folder / "metrics.jsonl"), str(folder / "curves.png"))
    print(f"trained {flags.steps} steps; see {folder}/curves.png, metrics.jsonl, tensorboard/")


def fit(model: VIE, train: VideoSet, sampling: Sampling, flags, step: int, watch: Watch) -> None:
    """Trains from `step` to the end, or until SIGINT or SIGTERM."""
    batches = pipeline.training_batches(
        train, sampling, flags.batch_size, flags.image_size, flags.seed, step, flags.steps
    )

    def stop(number, frame):
        # The step under way is finished, logged and saved; a second signal does not wait.
        watch.interrupted = True
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        model.fit(batches, steps_per_epoch=flags.steps - step, verbose=0, callbacks=[watch])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def measure(
    model: VIE, held_out: VideoSet, classes: int, flags, sampling: Sampling, embed: Callable
) -> dict[str, float]:
    """Effective dimension of the bank, recall at 1, and k-NN accuracy where there are labels."""
    bank = model.bank
    metrics = {"effective_dimension": effective_dimension(bank.rows.numpy())}
    if len(held_out) > 1:
        metrics["recall_at_1"] = embedding.instance_recall(
            embed, held_out, sampling, flags.image_size, model.colour
        )
    visited = bank.visited.numpy() | flags.legacy
    usable = visited & (bank.labels.numpy() >= 0)
    if (held_out.labels >= 0).any() and usable.sum() >= flags.k:
        clips = embedding.embed_clips(embed, held_out, sampling, flags.image_size, flags.clips)
        metrics["knn_top1"] = knn_accuracy(
            clips,
            held_out.labels,
            bank.rows.numpy(),
            bank.labels.numpy(),
            classes,
            flags.k,
            visited=visited,
        )["top1"]
    return metrics


def training_split(videos: VideoSet, share: float, seed: int) -> tuple[VideoSet, VideoSet]:
    """Videos to train on, and others to watch the training with.

    Trained on are those of the train split, or where there is none, those of no split; never those
    of the test split, which are the others. Where there is no test split, a random share is held
    out: at least 2, so that there is something to tell apart, and none of fewer than 4 videos.

    Raises:
        InputError: all videos are of the test split.
    """
    test = np.flatnonzero(videos.splits == "test")
    train = np.flatnonzero(videos.splits == "train")
    if not len(train):
        train = np.flatnonzero(videos.splits == "")
    if not len(train):
        raise InputError("every video has the split test: there is nothing to train on")
    if not len(test) and share and len(train) >= 4:
        order = np.random.default_rng(seed).permutation(train)
        count = max(2, int(share * len(order)))
        test, train = np.sort(order[:count]), np.sort(order[count:])
    if len(test) > WATCHED:
        test = np.sort(np.random.default_rng(seed).choice(test, WATCHED, replace=False))
    return videos.subset(train), videos.subset(test)


def subset_rows(videos: int, share: float, seed: int, legacy: bool = False) -> np.ndarray:
    """Which videos are trained on (paper's "70%" and "30%" of Kinetics).

    Args:
        videos: N, how many there are.
        share: p, in 0..1; 1 takes all, in any case.
        seed: of the draw.
        legacy: as the authors draw: with replacement, from a seed of their own. Of the paper's 70 %
            half are distinct, and a video that was drawn twice has two rows of the bank.

    Returns:
        int64 [int(N p)], ascending, in 0..N-1; distinct unless `legacy`.

    Raises:
        InputError: none are left.
    """
    if share == 1:
        return np.arange(videos)
    count = int(videos * share)
    if not count:
        raise InputError(f"--subset={share} of {videos} videos leaves none: give a larger share")
    if legacy:
        return np.sort(np.random.RandomState(0).choice(videos, count))
    return np.sort(np.random.default_rng((seed, 1)).choice(videos, count, replace=False))


def split_line(videos: VideoSet, train: VideoSet, held_out: VideoSet) -> str:
    """Says which videos are used for what."""
    line = f"{len(train)} videos to train on, {len(held_out) or 'none'} held out"
    if (train.splits == "train").any() and (videos.splits == "").any():
        line += f", {(videos.splits == '').sum()} of no split left out"
    if len(held_out) < 2:
        line += " (so no recall at 1: only the loss shows how it goes)"
    return line


def chosen_constants(flags, videos: int) -> recipe.Recipe:
    """The recipe for that many videos, with what the flags say instead."""
    default = recipe.recipe(videos)
    given = {field.name: flags[field.name].value for field in dataclasses.fields(default)}
    return dataclasses.replace(default, **{k: v for k, v in given.items() if v is not None})


def strategy() -> tf.distribute.Strategy:
    """One replica for each GPU."""
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def set_precision(precision: str) -> str:
    """Sets Keras' policy and says which; variables, loss and bank are float32 in any case."""
    if precision == "auto":
        precision = "bfloat16" if has_bfloat16() else "float32"
    keras.mixed_precision.set_global_policy(
        "mixed_bfloat16" if precision == "bfloat16" else "float32"
    )
    return precision


def has_bfloat16() -> bool:
    """Whether the GPUs, or without any the processor, multiply bfloat16 natively."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return all(d.get("compute_capability", (0, 0)) >= (8, 0) for d in details)
    with contextlib.suppress(OSError):
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    return False
