"""--mode=pretrain and --mode=finetune: from the flags to a run in its workdir."""

from __future__ import annotations

import sys
from pathlib import Path

from vie_tf import plots, workdir
from vie_tf.config import RUN, WITH_BANK
from vie_tf.data import splits, stills
from vie_tf.data.augmentation import Augmentation
from vie_tf.data.pipeline import TestClips
from vie_tf.data.sampling import Sampling, binned
from vie_tf.data.service import check_service
from vie_tf.data.videos import VideoSet, open_videos
from vie_tf.device import set_precision, set_seed, strategy
from vie_tf.errors import InputError, writing_to
from vie_tf.evaluation import finetuned
from vie_tf.evaluation.labelled import labelled_split
from vie_tf.models import families
from vie_tf.models.relation import FrameSubsets
from vie_tf.objectives import pretext
from vie_tf.objectives.clustering import Clusters
from vie_tf.objectives.memory_bank import MemoryBank
from vie_tf.training import loop, start
from vie_tf.training.checkpoints import Checkpoints
from vie_tf.training.measurement import Model, measurement, plateau_measure
from vie_tf.training.optimizer import Momentum, PiecewiseRate, Plateau
from vie_tf.training.reclustering import Reclustering
from vie_tf.training.settings import (
    augmentation,
    check_objective,
    first_clustering,
    phases,
    settle,
)
from vie_tf.training.supervised import Supervised
from vie_tf.training.vie import VIE
from vie_tf.training.watch import Watch


def pretrain(flags) -> None:
    """Trains a network, or goes on with it, and shows how it goes."""
    folder = Path(flags.workdir)
    start.inherit(flags)
    sampling = families.sampling_of(flags.family, flags.legacy, flags.frame_interval)
    families.check(flags.depth, flags.image_size)  # before all videos are opened
    pretext.check_family(flags.loss, flags.family)
    videos = open_videos(
        flags.data, flags.decoder, flags.label_column, flags.split_column, skips=True
    )
    train, held_out, said = training_videos(flags, videos, sampling)
    if flags.loss in WITH_BANK and 0 < (train.labels >= 0).sum() < flags.k:
        said += f"; no k-NN accuracy, as fewer than --k={flags.k} have a label"
    print(f"{said}; " + ", ".join(f"{k} {v}" for k, v in settle(flags, len(train)).items()))
    supervised = flags.loss == "supervised"
    if supervised:
        what = "--mode=finetune" if flags.mode == "finetune" else "--loss=supervised"
        held_out, notes = labelled_split(train, held_out, f"{what}: {flags.data}")
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
    check_objective(flags, len(train))
    seen = splits.watched(held_out, flags.seed)
    if flags.data_service:
        check_service(flags.data_service, flags.data)
    if flags.lr_plateau and len(held_out) < 2:
        raise InputError(
            "--lr_plateau needs two or more held-out videos to measure on: give --held_out or a "
            "test split"
        )
    set_seed(flags.seed, flags.deterministic)
    set_precision(flags.precision)
    replicas = strategy()
    if flags.batch_size % replicas.num_replicas_in_sync:
        raise InputError(
            f"--batch_size={flags.batch_size} cannot be shared evenly by "
            f"{replicas.num_replicas_in_sync} GPUs; give a multiple of their number"
        )
    settings = {name: flags[name].value for name in RUN}
    for name in ("data", "start_from", "second_workdir"):
        if settings[name]:
            settings[name] = workdir.absolute(settings[name])
    identity = {
        "data": settings["data"],
        "videos": len(videos),
        "fingerprint": videos.fingerprint,
        "label_names": videos.label_names,
        "start": "scratch",
        "start_step": 0,
    }
    # Held before anything in it is touched, and left as it was where the request cannot be met.
    with workdir.held(folder):
        with replicas.scope():
            model = build(flags, train)
            workdir.check_run(folder, settings, identity)
            saved = Checkpoints(folder / "checkpoints", model, flags.keep)
            step = loop.restore(saved, folder, flags.steps)
            best = None
            if supervised and len(held_out):
                best = Checkpoints(folder / finetuned.BEST / "checkpoints", model, keep=1)
        if step is None and flags.start_from:
            given = (flags.start_from, flags.second_workdir)
            identity |= start.start(model.network, [Path(run) for run in given if run])
        elif step is not None:
            known = workdir.read_data(folder)
            identity |= {name: known[name] for name in ("start", "start_step")}
        workdir.write_run(folder, settings, identity)
        if best:
            (folder / finetuned.BEST).mkdir(exist_ok=True)
            workdir.write_run(folder / finetuned.BEST, settings, identity)
        way = augmentation(flags)
        clips = TestClips(sampling, flags.image_size, flags.clips, way.test)
        loop.train(
            lambda watch: fit(model, train, sampling, way, flags, watch),
            folder,
            saved,
            measurement(model, seen, clips, way, flags),
            step or 0,
            train,
            flags,
            plateau_from=phases(flags)[-1][1],
            plateau_of=plateau_measure(flags, train, held_out),
            best=best,
        )
        curves = flags.steps or len(held_out)  # else there is no curve
        with writing_to(folder):
            if curves:
                plots.learning_curves(str(folder / "metrics.jsonl"), str(folder / "curves.png"))
            if supervised and len(held_out):
                finetuned.report(model.network, held_out, clips, folder, flags, identity)
    written = f"{folder}/{'curves.png, ' if curves else ''}metrics.jsonl, tensorboard/"
    print(f"trained {flags.steps} steps; see {written}")


def training_videos(flags, videos: VideoSet, sampling: Sampling) -> tuple[VideoSet, VideoSet, str]:
    """The videos to train on, or their bins; those held out; and a line that says so.

    Raises:
        InputError: none, or only one, is left to train on.
    """
    train, held_out = splits.training_split(
        videos, flags.held_out, flags.seed, classes=flags.loss == "supervised"
    )
    said = splits.split_line(videos, train, held_out)
    train = train.subset(splits.subset_rows(len(train), flags.subset, flags.seed, flags.legacy))
    if flags.steps and len(train) < 2:
        raise InputError(f"{flags.data}: training tells videos apart; give two or more to train on")
    if flags.subset < 1:
        said += f"; {len(set(train.ids))} videos drawn to train on"
    where = f"--mode={flags.mode}: {flags.data}"
    if stills.all_still((train, held_out), sampling, where):
        stills.tell((train, held_out), sampling, where)
    if flags.loss == "order":  # a video that goes round has none
        spanned, watched = (part.frames >= sampling.shortest for part in (train, held_out))
        if not spanned.any():
            raise InputError(
                f"{flags.data}: no training video has the {sampling.shortest} frames that a clip "
                f"of --family={flags.family} spans; give longer ones, or another family"
            )
        if short := (~spanned).sum() + (~watched).sum():
            said += f"; {short} of fewer than {sampling.shortest} frames left out"
        train, held_out = train.subset(spanned), held_out.subset(watched)
    if flags.bin_frames:
        train = binned(train, sampling, flags.bin_frames)
        said += f"; {len(train)} bins"
    return train, held_out, said


def build(flags, train: VideoSet) -> Model:
    """The compiled model of a run, in its initial state."""
    finetunes = flags.mode == "finetune"
    network = (families.build_finetuned if finetunes else families.build)(
        flags.family,
        flags.image_size,
        depth=flags.depth,
        bn_momentum=flags.bn_momentum,
        **pretext.head(flags.loss, len(train.label_names)),
    )
    for layer in network.layers:
        if isinstance(layer, FrameSubsets):
            layer.seed = flags.seed
    colour = augmentation(flags).colour
    if flags.loss not in WITH_BANK:
        model = Supervised(network, colour, pretext.PRETEXTS.get(flags.loss))
    else:
        bank = MemoryBank(
            len(train),
            momentum=flags.bank_momentum,
            seed=flags.seed,
            legacy=flags.legacy,
            precision=flags.bank_precision,
            sharded=flags.shard_bank,
        )
        aggregates = flags.loss in ("la", "vie")
        model = VIE(
            network,
            bank,
            flags.noise_samples,
            flags.temperature,
            colour,
            flags.seed,
            Clusters(len(train), len(flags.clusters)) if aggregates else None,
            flags.neighbours,
        )
    boundaries = [phases(flags)[-1][1] + int(step) for step in flags.lr_boundaries]
    plateau = Plateau(flags.lr_plateau) if flags.lr_plateau else None
    rate = PiecewiseRate(
        flags.learning_rate,
        boundaries,
        flags.warmup_steps,
        plateau=plateau,
        first_boundaries=flags.ir_lr_boundaries or [],
        first_steps=flags.ir_steps or 0,
    )
    # The authors' fault: while fine-tuning, the penalty is on the head alone.
    layer = "logits" if finetunes and flags.legacy else ""
    optimizer = Momentum(rate, l2=flags.weight_decay, l2_layer=layer, jit_compile=flags.xla)
    model.compile(optimizer, jit_compile=flags.xla)
    model.plateau = plateau
    return model


def fit(
    model: Model, train: VideoSet, sampling: Sampling, way: Augmentation, flags, watch: Watch
) -> None:
    """Trains from the watch's step to the end, loss by loss, or until it is interrupted."""
    for loss, _, end in phases(flags):
        if watch.interrupted or watch.step >= end:
            continue
        callbacks = []
        if loss == "la":
            model.aggregate()
            watch.reclustering = Reclustering(
                model.bank,
                model.clusters,
                [int(k) for k in flags.clusters],
                first_clustering(flags, len(train)),
                flags.cluster_every,
                flags.cluster_lag,
                flags.seed,
                watch,
            )
            callbacks = [watch.reclustering]
        loop.fit(model, train, sampling, way, flags, end, watch, callbacks)
