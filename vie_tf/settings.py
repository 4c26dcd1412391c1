"""The settings of a run, as values: read once from flags or a folder, then passed on unchanged.

Each group is a frozen dataclass. An objective's settings are a group of their own, the objective
itself (`vie_tf.objectives.registry`). None in a field is a default that depends on the family, the
number of videos or the machine: `vie_tf.training.defaults.complete` fills them in.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from vie_tf.errors import InputError

AUGMENTATIONS = (
    *("colour_noise", "multi_scale", "random_sized", "simclr", "imagenet"),
    *("opn", "opn_apart", "rotnet"),
)

# The settings of learning: those of read-outs are not those of the run's network.
LEARNING = (
    "batch_size seed learning_rate warmup_steps lr_boundaries lr_plateau weight_decay augmentation "
    "colour_noise flip held_out"
).split()


def setting(
    default,
    says: str,
    kind: type | None = None,
    least: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] = (),
    ascending: bool = False,
):
    """Returns a field of a group of settings.

    Args:
        default: its value if none is given.
        says: what it is, with its unit and, if `default` is None, what that stands for.
        kind: its type, or that of each of several values; default: that of `default`.
        least: lower bound of a number, or of each number.
        most: upper bound of a number.
        choices: all allowed values of a text.
        ascending: whether each of several numbers is at least the previous one.
    """
    told = {"says": says, "kind": kind or type(default), "least": least, "most": most}
    return field(default=default, metadata={**told, "choices": choices, "ascending": ascending})


@dataclass(frozen=True)
class Data:
    """The videos, and which of them are used for training."""

    data: str | None = setting(None, "Prepared videos, a folder of videos, or a CSV.", kind=str)
    label_column: str = setting("label", "Column of the CSV that is the label.")
    split_column: str = setting("split", "Column of the CSV that is the split.")
    decoder: str = setting("auto", "Decoder of raw videos.", choices=("auto", "tfio", "pyav"))
    held_out: float = setting(
        0.1,
        "Share of the videos held out to monitor training, if there is no test split.",
        least=0,
        most=0.9,
    )
    subset: float = setting(
        1.0,
        "Share of the training videos that is used (paper: 0.7 and 0.3), drawn by the seed.",
        least=0,
        most=1,
    )
    bin_frames: int = setting(
        0,
        "Divides the starting frames of each video's clips into bins of this many frames, each "
        "with its own row of the memory bank (paper: 5bin is 52, 2bin 130); 0: off.",
        least=0,
    )
    data_service: str | None = setting(
        None, "Address of a tf.data service that makes the batches: grpc://HOST:PORT.", kind=str
    )
    max_unreadable: int = setting(
        100,
        "Unreadable videos that may be left out; with more, training stops.",
        least=0,
    )


@dataclass(frozen=True)
class Clips:
    """The clips of training."""

    image_size: int | None = setting(
        None, "Side of the clips, in pixels. Default: the family's.", least=1, kind=int
    )
    frame_interval: int | None = setting(
        None,
        "Interval between the frames of a clip, in frames. Default: the family's; use less for "
        "short videos.",
        least=1,
        kind=int,
    )
    augmentation: str = setting(
        "colour_noise",
        "How training clips are cropped and coloured, and how test clips are cropped.",
        choices=AUGMENTATIONS,
    )
    colour_noise: tuple[float, ...] | None = setting(
        None,
        "Strengths of brightness, contrast, saturation and hue, then the probability of grey. "
        "Default: the augmentation's; for colour_noise 0.4,0.4,0.4,0.4,0.3.",
        kind=float,
    )
    flip: bool = setting(True, "Mirrors half of the clips; turn off where left and right matter.")


@dataclass(frozen=True)
class Network:
    """The network, and how it is computed."""

    family: str = setting("single", "Network family.")
    depth: int = setting(18, "Depth of the ResNet: 18, 34 or 50.", least=18)
    bn_momentum: float | None = setting(
        None,
        "Momentum of the moving statistics. Default: depends on the number of videos.",
        least=0,
        most=1,
        kind=float,
    )
    precision: str = setting(
        "auto",
        "Precision of the convolutions; auto is bfloat16 where the processor or the GPUs have it.",
        choices=("auto", "float32", "bfloat16"),
    )
    xla: bool | None = setting(
        None,
        "Compiles the network and its gradient with TensorFlow's XLA. Default: only on GPUs "
        "without --deterministic.",
        kind=bool,
    )


@dataclass(frozen=True)
class Schedule:
    """The training schedule."""

    batch_size: int = setting(64, "Clips a batch; finetune: 128, or all videos if fewer.", least=1)
    steps: int = setting(10_000, "Training steps in all; 0: untrained network.", least=0)
    learning_rate: float | None = setting(
        None,
        "Learning rate. Default: depends on the number of videos; finetune: 0.01 from scratch, "
        "else 0.0005; readout: 0.01.",
        least=0,
        kind=float,
    )
    warmup_steps: int = setting(0, "Steps of linear learning rate warm-up.", least=0)
    lr_boundaries: tuple[int, ...] = setting(
        (),
        "Steps after which the learning rate is divided by 10; --loss=vie counts them from the "
        "start of LA.",
        kind=int,
        least=0,
        ascending=True,
    )
    lr_plateau: int = setting(
        0,
        "Divides the learning rate by 10, at most twice, after this many evaluations without a "
        "better k-NN accuracy (without labels: recall at 1; supervised: top-1); 0: off. "
        "--loss=vie: in LA.",
        least=0,
    )
    weight_decay: float = setting(
        1e-4,
        "L2 penalty on all weights except batch normalisation; finetune with --start_from: 1e-5.",
        least=0,
    )


@dataclass(frozen=True)
class Evaluation:
    """What is measured, during training and afterwards."""

    clips: int = setting(5, "Test clips a video, evenly spaced; 0: all consecutive clips.", least=0)
    ten_crop: bool = setting(
        False, "Takes ten crops of each test clip: centre, corners, and their mirror images."
    )
    k: int = setting(10, "Neighbours of the k-NN classifier.", least=1)


@dataclass(frozen=True)
class Record:
    """What is written during training."""

    log_every: int = setting(10, "Steps between log entries.", least=1)
    evaluate_every: int | None = setting(
        None, "Steps between evaluations. Default: ten in the run.", least=1, kind=int
    )
    save_every: int | None = setting(
        None, "Steps between checkpoints. Default: twenty in the run.", least=1, kind=int
    )
    keep: int = setting(3, "Checkpoints to keep.", least=1)


@dataclass(frozen=True)
class Start:
    """What a run starts from, and how far it can be repeated."""

    start_from: str | None = setting(
        None,
        "pretrain, finetune: folder of the run whose network weights training starts from. "
        "Default: from scratch.",
        kind=str,
    )
    second_workdir: str | None = setting(
        None,
        "Folder of a Slow or SlowFast run that forms a two-stream model with the VIE-Single of "
        "--workdir (finetune: of --start_from).",
        kind=str,
    )
    seed: int = setting(0, "Seed of every random draw.", least=0, most=2**31 - 1)
    deterministic: bool | None = setting(
        None,
        "Makes a run resume and repeat to the last bit. Default: only without a GPU and --xla, "
        "where it costs nothing.",
        kind=bool,
    )
    legacy: bool = setting(
        False,
        "Reproduces the authors' faults: bank rows start un-normalised, with label 0 and in use; "
        "clips leave out the last frame or run past it; --subset draws with replacement, whatever "
        "the seed; finetune applies weight decay to the head only.",
    )


GROUPS = {
    "data": Data,
    "clips": Clips,
    "network": Network,
    "schedule": Schedule,
    "evaluation": Evaluation,
    "record": Record,
    "start": Start,
}


def every(*objectives: type) -> dict[str, dataclasses.Field]:
    """Returns the settings of all groups, and of these objectives, by name."""
    kinds = (*GROUPS.values(), *objectives)
    return {f.name: f for kind in kinds for f in dataclasses.fields(kind)}


@dataclass(frozen=True)
class Settings:
    """All settings of a run.

    Attributes:
        mode: pretrain, finetune or import_checkpoint: how the run was made.
        loss: name of the objective.
        objective: the objective with its settings, from the registry of objectives.
    """

    objective: Any
    loss: str = "ir"
    mode: str = "pretrain"
    data: Data = Data()
    clips: Clips = Clips()
    network: Network = Network()
    schedule: Schedule = Schedule()
    evaluation: Evaluation = Evaluation()
    record: Record = Record()
    start: Start = Start()

    @property
    def finetunes(self) -> bool:
        return self.mode == "finetune"

    def values(self) -> dict[str, Any]:
        """Returns all settings by name, including those of the objective."""
        found = {"mode": self.mode, "loss": self.loss}
        for group in (*GROUPS, "objective"):
            part = getattr(self, group)
            found |= {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
        return found

    def but(self, **values) -> Settings:
        """Returns a copy with other values for some settings, given by name."""
        changed = {
            name: values.pop(name) for name in ("mode", "loss", "objective") if name in values
        }
        for group in (*GROUPS, "objective"):
            part = changed.get(group, getattr(self, group))
            own = {f.name for f in dataclasses.fields(part)} & values.keys()
            if own:
                changed[group] = dataclasses.replace(part, **{n: values.pop(n) for n in own})
        if values:
            raise TypeError(f"no settings {', '.join(values)}")
        return dataclasses.replace(self, **changed)


def made(values: dict[str, Any], objectives: dict[str, type]) -> Settings:
    """Makes settings from values by name; missing ones have their defaults.

    Args:
        values: `mode`, `loss` and those of all groups; those of other objectives are ignored.
        objectives: the registry.

    Raises:
        InputError: a name is no setting's, or a value is out of range.
    """
    if unknown := values.keys() - every(*objectives.values()).keys() - {"mode", "loss"}:
        raise InputError(f"no settings {', '.join(sorted(unknown))}")

    def group(kind: type):
        own = {f.name: f for f in dataclasses.fields(kind) if f.name in values}
        for name, setting in own.items():
            check(setting, values[name])
        return kind(**{name: values[name] for name in own})

    return Settings(
        objective=group(objectives[values["loss"]]),
        loss=values["loss"],
        mode=values.get("mode", "pretrain"),
        **{name: group(kind) for name, kind in GROUPS.items()},
    )


def check(setting: dataclasses.Field, value) -> None:
    """Raises InputError if a value that was given for a setting is out of its range."""
    told, name = setting.metadata, setting.name
    several = is_tuple(setting)
    numbers = value if several else (value,)
    kinds = (int, float) if told["kind"] is float else told["kind"]
    if value is not None and (
        not isinstance(numbers, (tuple, list)) or not all(isinstance(x, kinds) for x in numbers)
    ):
        raise InputError(f"--{name}={text(value)}: give {told['kind'].__name__} values")
    for number in numbers if value is not None else ():
        if told["choices"] and number not in told["choices"]:
            raise InputError(f"--{name}={number}: choose one of {', '.join(told['choices'])}")
        if told["least"] is not None and number < told["least"]:
            raise InputError(f"--{name} takes numbers from {told['least']} on, not {number}")
        if told["most"] is not None and number > told["most"]:
            raise InputError(f"--{name} takes numbers up to {told['most']}, not {number}")
    if several and told["ascending"] and value and list(value) != sorted(value):
        raise InputError(f"--{name} takes steps in ascending order, such as 800,1000")


def is_tuple(setting: dataclasses.Field) -> bool:
    """Returns whether a setting has several values."""
    return "tuple" in str(setting.type)


def text(value) -> str:
    """Returns a setting's value as written in a flagfile; '' for None."""
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def read(setting: dataclasses.Field, said: str):
    """Reads the value of a setting from its text.

    Raises:
        ValueError, KeyError: the text is not a valid value.
    """
    kind = setting.metadata["kind"]
    if is_tuple(setting):
        return tuple(kind(part) for part in said.split(",") if part)
    return {"True": True, "False": False}[said] if kind is bool else kind(said)
