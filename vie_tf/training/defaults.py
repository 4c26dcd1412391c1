"""What follows from the number of videos, the family and the machine where no setting is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from vie_tf import device
from vie_tf.data.augmentation import AUGMENTATIONS, STRENGTHS, Augmentation
from vie_tf.data.crops import TEN
from vie_tf.models import families
from vie_tf.objectives.vie import LARGE
from vie_tf.settings import Clips, Evaluation, Settings, text


def complete(
    settings: Settings, given: Collection[str], videos: int
) -> tuple[Settings, dict[str, str]]:
    """Settings of which those that follow from videos, family and machine have their values.

    Those that are None where that is their meaning stay so: intervals of frames, evaluations and
    checkpoints. Returned with them are the settings that might have been open, as text.

    Args:
        settings: as they were given.
        given: names of those that were; the others that fine-tuning has values of its own for take
            these.
        videos: to train on.
    """
    objective, schedule = settings.objective, settings.schedule
    own = {f.name for f in dataclasses.fields(objective)}
    constants = objective.constants(videos, schedule.batch_size)
    default = {
        **{name: value for name, value in constants.items() if name in own},
        "bn_momentum": 0.997 if videos >= LARGE else 0.98,
        "learning_rate": 0.03 if videos >= LARGE else 0.01,
        "colour_noise": AUGMENTATIONS[settings.clips.augmentation].colour.strengths,
        "image_size": families.family_of(settings.network.family).image_size,
        "deterministic": not device.on_gpu() and not settings.network.xla,
        "xla": device.on_gpu() and not settings.start.deterministic,
        "precision": "bfloat16" if device.has_bfloat16() else "float32",
    }
    of_mode = {}
    if settings.finetunes:
        of_mode = fine_tuning(videos, bool(settings.start.start_from))
        default |= of_mode
    values = settings.values()
    chosen = {
        name: value
        for name, value in default.items()
        if values[name] in (None, "auto") or (name in of_mode and name not in given)
    }
    settings = settings.but(**chosen)
    values = settings.values()
    return settings, {name: text(values[name]) for name in default}


def fine_tuning(videos: int, started: bool) -> dict[str, float]:
    """Fine-tuning's own defaults (appendix E), by setting.

    Args:
        videos: to train on; a batch has no more clips.
        started: whether it starts from a run's weights, not from scratch.
    """
    return {
        "batch_size": min(128, videos),
        "learning_rate": 0.0005 if started else 0.01,
        "weight_decay": 1e-5 if started else 1e-4,
    }


def augmentation(clips: Clips, evaluation: Evaluation) -> Augmentation:
    """How clips are made of videos: the recipe, with the strengths and flips of the settings."""
    recipe = AUGMENTATIONS[clips.augmentation]
    given = dict(zip(STRENGTHS, clips.colour_noise))
    colour = dataclasses.replace(recipe.colour, **given)
    test = TEN if evaluation.ten_crop else recipe.test
    return dataclasses.replace(recipe, colour=colour, test=test, flip=clips.flip)
