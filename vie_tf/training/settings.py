"""What the flags of a run come to: its constants, its losses and their steps, its clips."""

from __future__ import annotations

import dataclasses

from vie_tf import device, workdir
from vie_tf.data.augmentation import AUGMENTATIONS, STRENGTHS, Augmentation
from vie_tf.data.crops import TEN
from vie_tf.errors import InputError
from vie_tf.models import families
from vie_tf.rules import OF_LOSS
from vie_tf.training import recipe


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
        "deterministic": not device.on_gpu() and not flags.xla,
        "xla": device.on_gpu() and not flags.deterministic,
        "precision": "bfloat16" if device.has_bfloat16() else "float32",
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


def augmentation(flags) -> Augmentation:
    """How clips are made of videos: the recipe, with the strengths and the flips of the flags."""
    recipe = AUGMENTATIONS[flags.augmentation]
    given = dict(zip(STRENGTHS, map(float, flags.colour_noise)))
    colour = dataclasses.replace(recipe.colour, **given)
    test = TEN if flags.ten_crop else recipe.test
    return dataclasses.replace(recipe, colour=colour, test=test, flip=flags.flip)
