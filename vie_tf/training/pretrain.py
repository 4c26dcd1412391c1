"""--mode=pretrain and --mode=finetune: from the flags to a run in its workdir."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from tensorflow import keras

from vie_tf import plots, workdir
from vie_tf.config import OF_LOSS, RUN, WITH_BANK
from vie_tf.data import pipeline, splits
from vie_tf.data.augmentation import AUGMENTATIONS, STRENGTHS, Augmentation
from vie_tf.data.crops import TEN
from vie_tf.data.files import is_remote
from vie_tf.data.sampling import Sampling, binned
from vie_tf.data.service import check_service
from vie_tf.data.videos import VideoSet, damage, open_videos
from vie_tf.errors import InputError, writing_to
from vie_tf.evaluation.labelled import labelled_split
from vie_tf.models import families
from vie_tf.models.relation import FrameSubsets
from vie_tf.objectives import pretext
from vie_tf.objectives.clustering import Clusters
from vie_tf.objectives.memory_bank import MemoryBank
from vie_tf.training import finetune, recipe, start
from vie_tf.training.checkpoints import Checkpoints
from vie_tf.training.device import has_bfloat16, set_precision, strategy
from vie_tf.training.measurement import Model, measurement, plateau_measure
from vie_tf.training.optimizer import Momentum, PiecewiseRate, Plateau
from vie_tf.training.reclustering import Reclustering
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
    videos = open_videos(flags.data, flags.decoder, flags.label_column, flags.split_column)
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
    keras.utils.set_random_seed(flags.seed)
    tf.config.experimental.enable_op_determinism()
    set_precision(flags.precision)
    replicas = strategy()
    if flags.batch_size % replicas.num_replicas_in_sync:
        raise InputError(
            f"--batch_size={flags.batch_size} cannot be shared evenly by "
            f"{replicas.num_replicas_in_sync} GPUs; give a multiple of their number"
        )
    settings = {name: flags[name].value for name in RUN}
    for name in ("data", "start_from", "second_workdir"):
        if settings[name] and not is_remote(settings[name]):
            settings[name] = os.path.abspath(settings[name])
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
            step = saved.restore()
            best = None
            if supervised and len(held_out):
                best = Checkpoints(folder / finetune.BEST / "checkpoints", model, keep=1)
        if step is None and flags.start_from:
            given = (flags.start_from, flags.second_workdir)
            identity |= start.start(model.network, [Path(run) for run in given if run])
        elif step is not None:
            known = workdir.read_data(folder)
            identity |= {name: known[name] for name in ("start", "start_step") if name in known}
        step = step or 0
        if step > flags.steps:
            raise InputError(
                f"{folder} is at step {step}, past --steps={flags.steps}: give more steps"
            )
        workdir.write_run(folder, settings, identity)
        if best:
            (folder / finetune.BEST).mkdir(exist_ok=True)
            workdir.write_run(folder / finetune.BEST, settings, identity)
        watch = Watch(
            folder,
            saved,
            measurement(model, seen, sampling, augmentation(flags), flags),
            step,
            flags.steps,
            flags.batch_size,
            flags.log_every,
            plateau_from=phases(flags)[-1][1],
            plateau_of=plateau_measure(flags, train, held_out),
            evaluate_every=flags.evaluate_every or max(1, min(5000, flags.steps // 10)),
            save_every=flags.save_every or max(1, min(5000, flags.steps // 20)),
            videos=train,
            max_unreadable=flags.max_unreadable,
            best=best,
        )
        with contextlib.closing(watch), writing_to(folder):
            if step:
                watch.line.say(f"going on from step {step}")
            else:
                saved.save()
            if step < flags.steps:
                fit(model, train, sampling, flags, watch)
            elif step == 0:
                watch.evaluate_now()
        if watch.step < flags.steps:
            print(f"stopped at step {watch.step}; the same command goes on", file=sys.stderr)
            sys.exit(130)
        with writing_to(folder):
            plots.learning_curves(str(folder / "metrics.jsonl"), str(folder / "curves.png"))
            if supervised and len(held_out):
                way = augmentation(flags)
                finetune.report(model, held_out, sampling, way, folder, flags, identity)
    print(f"trained {flags.steps} steps; see {folder}/curves.png, metrics.jsonl, tensorboard/")


def training_videos(flags, videos: VideoSet, sampling: Sampling) -> tuple[VideoSet, VideoSet, str]:
    """The videos to train on, or their bins; those held out; and a line that says so.

    Raises:
        InputError: none, or only one, is left to train on.
    """
    train, held_out = splits.training_split(videos, flags.held_out, flags.seed)
    said = splits.split_line(videos, train, held_out)
    train = train.subset(splits.subset_rows(len(train), flags.subset, flags.seed, flags.legacy))
    if flags.steps and len(train) < 2:
        raise InputError(f"{flags.data}: training tells videos apart; give two or more to train on")
    if flags.subset < 1:
        said += f"; {len(set(train.ids))} videos drawn to train on"
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


def settle(flags, videos: int) -> dict[str, object]:
    """Gives the flags that were not given their values; returns those, by name.

    They follow from the family, the loss, the number of videos to train on, the batch size and the
    processor. Flags that are nothing to the loss are left alone.
    """
    default = {
        **dataclasses.asdict(recipe.recipe(videos, flags.batch_size)),
        "bank_precision": "float32",
        "colour_noise": AUGMENTATIONS[flags.augmentation].colour.strengths,
        "cluster_lag": 0,
        "image_size": families.family_of(flags.family).image_size,
        "precision": "bfloat16" if has_bfloat16() else "float32",
    }
    own = {}
    if flags.mode == "finetune":
        own = recipe.fine_tuning(videos, bool(flags.start_from))
        default |= own
    used = [name for name in default if flags.loss in OF_LOSS.get(name, (flags.loss,))]
    for name in used:
        if flags[name].value in (None, "auto") or (name in own and not flags[name].present):
            setattr(flags, name, default[name])
    return {name: workdir.text(flags[name].value) for name in used}


def check_objective(flags, videos: int) -> None:
    """Raises InputError on flags of the losses that do not go together."""
    if flags.shard_bank and flags.loss in ("ir", "vie") and not flags.noise_samples:
        raise InputError(
            "--shard_bank: the exact softmax (--noise_samples=0) takes the bank as a whole; give "
            "--noise_samples=4096"
        )
    if flags.loss == "vie" and 0 < flags.steps <= flags.ir_steps:
        raise InputError(
            f"--loss=vie begins with {flags.ir_steps} steps of IR, and --steps={flags.steps} leave "
            "none to LA: give more --steps, or fewer --ir_steps"
        )
    if flags.ir_lr_boundaries and int(flags.ir_lr_boundaries[-1]) >= flags.ir_steps:
        raise InputError(
            f"--ir_lr_boundaries={workdir.text(flags.ir_lr_boundaries)}: IR ends after step "
            f"{flags.ir_steps}; give steps before that"
        )
    if flags.loss == "la" and 0 < flags.steps <= first_clustering(flags, videos):
        raise InputError(
            f"--loss=la fills the bank for {first_clustering(flags, videos)} steps, and --steps="
            f"{flags.steps} leave none to learn in: give more"
        )
    if flags.loss in ("la", "vie") and flags.cluster_lag >= flags.cluster_every:
        raise InputError(
            f"--cluster_lag={flags.cluster_lag} must be below --cluster_every="
            f"{flags.cluster_every}, the steps from clustering to clustering"
        )


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
    model.compile(Momentum(rate, l2=flags.weight_decay, l2_layer=layer))
    model.plateau = plateau
    return model


def augmentation(flags) -> Augmentation:
    """How clips are made of videos: the recipe, with the strengths and the flips of the flags."""
    recipe = AUGMENTATIONS[flags.augmentation]
    given = dict(zip(STRENGTHS, map(float, flags.colour_noise)))
    colour = dataclasses.replace(recipe.colour, **given)
    test = TEN if flags.ten_crop else recipe.test
    return dataclasses.replace(recipe, colour=colour, test=test, flip=flags.flip)


def phases(flags) -> list[tuple[str, int, int]]:
    """The losses of a run, each with the steps that it begins after and ends with."""
    if flags.loss == "vie":
        return [("ir", 0, flags.ir_steps), ("la", flags.ir_steps, flags.steps)]
    return [(flags.loss, 0, flags.steps)]


def first_clustering(flags, videos: int) -> int:
    """The step after which the bank is first clustered: alone, LA fills it for an epoch."""
    if flags.loss == "vie":
        return flags.ir_steps
    return min(max(1, videos // flags.batch_size), flags.cluster_every)


def fit(model: Model, train: VideoSet, sampling: Sampling, flags, watch: Watch) -> None:
    """Trains from the watch's step to the end, or until SIGINT or SIGTERM."""
    with stoppable(watch):
        for loss, _, end in phases(flags):
            if watch.interrupted or watch.step >= end:
                continue
            callbacks = [watch]
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
                callbacks = [watch.reclustering, watch]
            batches = pipeline.training_batches(
                train,
                sampling,
                flags.batch_size,
                flags.image_size,
                flags.seed,
                watch.step,
                end,
                augmentation(flags),
                flags.data_service,
            )
            model.fit(batches, steps_per_epoch=end - watch.step, verbose=0, callbacks=callbacks)
            if watch.step < end and not watch.interrupted:
                watch.save()
                raise InputError(
                    f"--data_service: no more batches came after step {watch.step} (a worker that "
                    "stops takes its own with it); saved, and the same command goes on"
                )


@contextlib.contextmanager
def stoppable(watch: Watch) -> Iterator[None]:
    """Lets SIGINT and SIGTERM end the training in the block, and saves when a video fails it."""

    def stop(number, frame):
        # The step under way is finished, logged and saved; a second signal does not wait.
        watch.interrupted = True
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except tf.errors.OpError as error:
        if damage(error) is not None:  # between two steps
            watch.save()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
