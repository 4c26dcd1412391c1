"""Checks which flags fit together."""

from __future__ import annotations

import dataclasses
import math
import sys

from vie_tf.commands.flags import FLAGS, OF_MODE, loss, names, of_objectives, settings
from vie_tf.errors import InputError
from vie_tf.objectives.registry import OBJECTIVES
from vie_tf.settings import LEARNING, every, is_tuple
from vie_tf.settings import check as check_setting

NEEDS = {
    "pretrain": ("data", "workdir"),
    "finetune": ("data", "workdir"),
    "look": ("data", "out"),
    "knn": ("data", "workdir"),
    "embed": ("data", "workdir", "out"),
    "retrieve": ("data", "workdir", "out"),
    "readout": ("data", "workdir"),
    "report": ("workdirs", "out"),
    "export": ("workdir", "out"),
    "import_checkpoint": ("checkpoint", "workdir"),
}

# Flags that modes which make a run refuse, and what those flags are for.
TRAINED, TRAINS = "networks that are trained", "runs that train"
REFUSED = {
    "pretrain": {"second_workdir": TRAINED, "frames_of": TRAINED},
    "finetune": {"frames_of": TRAINED},
    "look": {"frames_of": TRAINED},
    "import_checkpoint": {"second_workdir": TRAINED, "frames_of": TRAINED, "start_from": TRAINS},
}


def check() -> None:
    """Raises InputError if flags are missing or do not fit together."""
    check_mode()
    check_loss()
    check_networks()
    check_numbers()
    note_late_drops()


def check_mode() -> None:
    """Checks for missing flags, and flags of other modes."""
    for name in () if FLAGS.mode == "knn" and FLAGS.embeddings else NEEDS[FLAGS.mode]:
        if not FLAGS[name].value:
            raise InputError(f"--mode={FLAGS.mode} needs --{name}")
    for name, modes in OF_MODE.items():
        if FLAGS[name].present and FLAGS.mode not in modes:
            raise InputError(
                f"--{name} is for --mode={' or '.join(modes)}, not --mode={FLAGS.mode}"
            )
    if FLAGS.out and "out" not in NEEDS[FLAGS.mode]:
        raise InputError(f"--out is not for --mode={FLAGS.mode}: leave it out")
    if FLAGS.mode == "look" and FLAGS.workdir:
        raise InputError(
            "--workdir is not for --mode=look: give a run's flags by --flagfile=WORKDIR/flags.txt"
        )
    if FLAGS.cached:
        for name in sorted({*LEARNING, "steps"} - {"seed", "augmentation"}):
            if FLAGS[name].present:
                raise InputError(
                    f"--{name} is not for --cached, which learns without: leave it out"
                )
    made = "data bank second_workdir frames_of label_column split_column clips ten_crop".split()
    for name in made if FLAGS.embeddings else ():
        if FLAGS[name].present:
            raise InputError(f"--{name} is not for --embeddings, which are made: leave it out")
    if FLAGS.deterministic and FLAGS.xla:
        raise InputError(
            "--deterministic and --xla do not go together: TensorFlow compiles no gradient of max "
            "pooling that is the same each time; give --nodeterministic or --noxla"
        )
    if FLAGS.bank and FLAGS.second_workdir:
        raise InputError("--bank is of one stream: leave out --second_workdir")


def check_loss() -> None:
    """Checks for flags of other losses."""
    if FLAGS.mode == "finetune" and FLAGS["loss"].present and FLAGS.loss != "supervised":
        raise InputError(f"--mode=finetune learns labels: leave out --loss={FLAGS.loss}")
    for name, losses in of_objectives().items():
        there = FLAGS[name].present and FLAGS[name].value != FLAGS[name].default
        if there and loss() not in losses:
            raise InputError(f"--{name} is for --loss={' or '.join(losses)}, not --loss={loss()}")
    if FLAGS.mode == "import_checkpoint" and not OBJECTIVES[FLAGS.loss].bank:
        banks = " or ".join(name for name, kind in OBJECTIVES.items() if kind.bank)
        raise InputError(f"--mode=import_checkpoint takes runs with a bank: --loss={banks}")


def check_networks() -> None:
    """Checks the flags for the networks that a mode starts from."""
    for name, ours in REFUSED.get(FLAGS.mode, {}).items():
        if FLAGS[name].value:
            raise InputError(f"--{name} is for {ours}, not --mode={FLAGS.mode}")
    if FLAGS.mode in ("finetune", "look") and FLAGS.second_workdir and not FLAGS.start_from:
        raise InputError("--second_workdir: give VIE-Single's run as --start_from")
    if FLAGS.second_workdir and FLAGS.frames_of:
        raise InputError("--second_workdir and --frames_of exclude each other: give one of them")


def check_numbers() -> None:
    """Checks numbers, and lists of them."""
    for name in names():
        if isinstance(FLAGS[name].value, float) and not math.isfinite(FLAGS[name].value):
            raise InputError(f"--{name}={FLAGS[name].value}: give a finite number")
    for name, setting in every(*OBJECTIVES.values()).items():
        if is_tuple(setting) and FLAGS[name].value is not None:
            check_list(setting, FLAGS[name].value)
    noise = [float(x) for x in FLAGS.colour_noise or []]
    if FLAGS.colour_noise is not None and (
        len(noise) != 5 or not all(0 <= x <= 1 for x in noise) or noise[3] > 0.5
    ):
        raise InputError(
            "--colour_noise takes five numbers: brightness, contrast, saturation in 0..1, hue in "
            "0..0.5, probability of grey in 0..1"
        )


def check_list(setting: dataclasses.Field, values: list[str]) -> None:
    """Checks the several numbers of one flag."""
    told, name = setting.metadata, setting.name
    try:
        numbers = [told["kind"](x) for x in values]
    except ValueError as error:
        raise InputError(f"--{name} takes numbers: {error}") from error
    check_setting(setting, numbers)


def note_late_drops() -> None:
    """Prints which drops of the learning rate training does not reach.

    They are no error: a flagfile's run may be shortened for a trial, or extended later.
    """
    if FLAGS.mode not in ("pretrain", "finetune", "readout"):
        return
    before = settings().objective.first_steps(FLAGS.steps)
    late = [drop for drop in FLAGS.lr_boundaries if before + int(drop) >= FLAGS.steps > 0]
    if late:
        after = f", {before} of them in the first phase" if before else ""
        print(
            f"note: the rate does not drop after {', '.join(late)}: training ends after --steps="
            f"{FLAGS.steps}{after}; give more steps, or other --lr_boundaries",
            file=sys.stderr,
        )
