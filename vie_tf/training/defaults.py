"""Defaults that depend on the number of videos, the family and the machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from vie_tf import device
from vie_tf.data.augmentation import AUGMENTATIONS, STRENGTHS, Augmentation
from vie_tf.data.crops import TEN
from vie_tf.models import families
from vie_tf.objectives.objective import LARGE
from vie_tf.settings import Clips, Evaluation, Settings, text


def complete(
    settings: Settings, given: Collection[str], videos: int
) -> tuple[Settings, dict[str, str]]:
    """Fills in the settings that depend on videos, family and machine.

    Only the interval of frames may stay None, which is the family's. Also returns the settings that
    could be filled in, as text.

    Args:
        settings: as they were given.
        given: names of those that were; the others take fine-tuning's own values if it has any.
        videos: number of videos to train on.
    """
    objective, schedule = settings.objective, settings.schedule
    values = settings.values()
    constants = objective.constants(videos, schedule.batch_size)
    constants = {name: value for name, value in constants.items() if name in values}
    default = {
        "bn_momentum": 0.997 if videos >= LARGE else 0.98,
        "learning_rate": 0.03 if videos >= LARGE else 0.01,
        "colour_noise": AUGMENTATIONS[settings.clips.augmentation].colour.strengths,
        "image_size": families.family_of(settings.network.family).image_size,
        "deterministic": not device.on_gpu() and not settings.network.xla,
        "xla": device.on_gpu() and not settings.start.deterministic,
        "precision": "bfloat16" if device.has_bfloat16() else "float32",
        **intervals(schedule.steps),
    }
    default = {**constants, **default, **constants}  # the objective's are printed first, and win
    of_mode = {}
    if settings.finetunes:
        of_mode = fine_tuning(videos, bool(settings.start.start_from))
        default |= of_mode
    chosen = {
        name: value
        for name, value in default.items()
        if values[name] in (None, "auto") or (name in of_mode and name not in given)
    }
    settings = settings.but(**chosen)
    values = settings.values()
    return settings, {name: text(values[name]) for name in default}


def intervals(steps: int) -> dict[str, int]:
    """Returns the default steps between evaluations and between checkpoints, by setting."""
    return {
        "evaluate_every": max(1, min(5000, steps // 10)),
        "save_every": max(1, min(5000, steps // 20)),
    }


def fine_tuning(videos: int, started: bool) -> dict[str, float]:
    """Returns fine-tuning's own defaults (appendix E), by setting.

    Args:
        videos: number of videos to train on; a batch has no more clips.
        started: whether it starts from a run's weights, not from scratch.
    """
    return {
        "batch_size": min(128, videos),
        "learning_rate": 0.0005 if started else 0.01,
        "weight_decay": 1e-5 if started else 1e-4,
    }


def augmentation(clips: Clips, evaluation: Evaluation) -> Augmentation:
    """Returns the augmentation recipe with the colour noise, flips and crops of the settings."""
    recipe = AUGMENTATIONS[clips.augmentation]
    given = dict(zip(STRENGTHS, clips.colour_noise))
    colour = dataclasses.replace(recipe.colour, **given)
    test = TEN if evaluation.ten_crop else recipe.test
    return dataclasses.replace(recipe, colour=colour, test=test, flip=clips.flip)
