"""The command's flags: one for every setting, and those of single modes."""

from __future__ import annotations

import dataclasses

from absl import flags

from vie_tf.objectives.registry import OBJECTIVES
from vie_tf.settings import Settings, every, is_tuple, made

FLAGS = flags.FLAGS
MODES = {
    "pretrain": "trains a network",
    "finetune": "trains a network on labels",
    "look": "draws the first clips that training would see",
    "knn": "k-NN accuracy and class recall of the test split",
    "embed": "writes the embedding of every video",
    "retrieve": "finds the nearest videos",
    "readout": "trains linear classifiers on a frozen network",
    "report": "writes what evaluations of many runs found",
    "export": "writes the network as a SavedModel",
    "import_checkpoint": "makes a run of a checkpoint of the authors' code",
}
TITLES = {
    "data": "data",
    "clips": "clips to train on",
    "network": "network",
    "schedule": "training",
    "start": "start and repeatability",
    "evaluation": "evaluation",
    "record": "what is written while it trains",
}


def define(setting: dataclasses.Field) -> None:
    """Defines the flag of a setting."""
    told, name = setting.metadata, setting.name
    if is_tuple(setting):
        default = None if setting.default is None else list(setting.default)
        flags.DEFINE_list(name, default, told["says"])
    elif told["choices"]:
        flags.DEFINE_enum(name, setting.default, told["choices"], told["says"])
    elif told["kind"] in (int, float):
        make = flags.DEFINE_integer if told["kind"] is int else flags.DEFINE_float
        bounds = {"lower_bound": told["least"], "upper_bound": told["most"]}
        make(name, setting.default, told["says"], **bounds)
    else:
        make = flags.DEFINE_bool if told["kind"] is bool else flags.DEFINE_string
        make(name, setting.default, told["says"])


def of_objectives() -> dict[str, list[str]]:
    """Returns the objectives' settings by name, each with the objectives that have it."""
    found: dict[str, list[str]] = {}
    for loss, kind in OBJECTIVES.items():
        for setting in dataclasses.fields(kind):
            found.setdefault(setting.name, []).append(loss)
    return found


def define_objectives() -> None:
    """Defines the flags of the objectives' settings, one for all settings of the same name.

    Raises:
        TypeError: two such settings differ in more than their defaults and help texts.
    """
    first: dict[str, dataclasses.Field] = {}
    for loss, kind in OBJECTIVES.items():
        for setting in dataclasses.fields(kind):
            if setting.name not in first and setting.name not in FLAGS:
                define(first.setdefault(setting.name, setting))
            elif setting.name not in first or _bounds(first[setting.name]) != _bounds(setting):
                raise TypeError(
                    f"the setting {setting.name} of --loss={loss} is another one than that which "
                    "has its name already: give it another name, or the same type and bounds"
                )


def _bounds(setting: dataclasses.Field) -> tuple:
    told = setting.metadata
    return is_tuple(setting), *(
        told[name] for name in ("kind", "least", "most", "choices", "ascending")
    )


flags.DEFINE_enum("mode", "pretrain", list(MODES), "What to do.")
flags.DEFINE_enum(
    "loss",
    "ir",
    list(OBJECTIVES),
    "Objective. "
    + "; ".join(f"{name}: {kind.title or kind.__name__}" for name, kind in OBJECTIVES.items())
    + ".",
)
flags.DEFINE_string("workdir", None, "Folder of the run; an interrupted run in it is resumed.")
flags.DEFINE_string("out", None, "Output: FILE.npz, PICTURE.png or DIR.")
for one in every().values():
    define(one)
define_objectives()

# Flags of one mode, or of a few.
OF_MODE = {
    "query": ("retrieve",),
    "workdirs": ("report",),
    "checkpoint": ("import_checkpoint",),
    "knn_temperature": ("knn",),
    "bank": ("knn",),
    "embeddings": ("knn",),
    "taps": ("readout",),
    "cached": ("readout",),
}
flags.DEFINE_string(
    "frames_of",
    None,
    "Family whose frames the VIE-Single of --workdir sees, each alone (the paper's Input-Single).",
)
flags.DEFINE_string(
    "checkpoint", None, "import_checkpoint: prefix or folder of a checkpoint of the authors' code."
)
flags.DEFINE_list("workdirs", None, "report: folders of runs, or folders that contain them.")
flags.DEFINE_string("query", None, "retrieve: a video file, or an id in --data. Default: all.")
flags.DEFINE_list(
    "taps",
    ["conv3", "conv4", "conv5"],
    "readout: layers to classify from: conv1 to conv5, encode_1 and so on, or embedding; the "
    "suffix -avg takes the mean over space.",
)
flags.DEFINE_bool(
    "cached",
    False,
    "readout: logistic regression on features that are computed once, without augmentation.",
)
flags.DEFINE_float(
    "knn_temperature", None, "knn: vote temperature. Default: the paper's 0.07.", 0.02
)
flags.DEFINE_bool("bank", False, "knn: searches the memory bank instead of computing embeddings.")
flags.DEFINE_string("embeddings", None, "knn: FILE.npz of --mode=embed, instead of --data.")


def names() -> list[str]:
    """Returns all flag names of the command."""
    settings = every(*OBJECTIVES.values())
    return ["mode", "loss", "workdir", "out", *settings, *OF_MODE, "frames_of"]


def loss() -> str:
    """Returns the objective's name: fine-tuning learns labels."""
    return "supervised" if FLAGS.mode == "finetune" else FLAGS.loss


def settings() -> Settings:
    """Returns the settings given by the flags."""
    values = {"mode": FLAGS.mode, "loss": loss()}
    for name, setting in every(OBJECTIVES[loss()]).items():
        # A setting not given has its own group's default, not that of another of the same name.
        if FLAGS[name].present:
            value, kind = FLAGS[name].value, setting.metadata["kind"]
            values[name] = tuple(map(kind, value)) if is_tuple(setting) else value
    return made(values, OBJECTIVES)


def given() -> frozenset[str]:
    """Returns the names of the flags that were given."""
    return frozenset(name for name in names() if FLAGS[name].present)
