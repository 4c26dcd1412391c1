"""Which flags go together."""

from __future__ import annotations

import math
import sys

from vie_tf.commands.flags import FLAGS, OF_MODE, names, of_objectives
from vie_tf.errors import InputError
from vie_tf.objectives.registry import OBJECTIVES
from vie_tf.settings import LEARNING

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


def check() -> None:
    """Raises InputError on flags that are missing, or do not go together."""
    check_mode()
    check_loss()
    check_networks()
    check_numbers()
    note_late_drops()


def check_mode() -> None:
    """What the mode needs, and what is of another."""
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
    """What is of another loss; that of --mode=finetune is set."""
    if FLAGS.mode == "finetune":
        if FLAGS["loss"].present and FLAGS.loss != "supervised":
            raise InputError(f"--mode=finetune learns labels: leave out --loss={FLAGS.loss}")
        FLAGS.loss = "supervised"
    for name, losses in of_objectives().items():
        there = FLAGS[name].present and FLAGS[name].value != FLAGS[name].default
        if there and FLAGS.loss not in losses:
            raise InputError(
                f"--{name} is for --loss={' or '.join(losses)}, not --loss={FLAGS.loss}"
            )
    if FLAGS.mode == "import_checkpoint" and not OBJECTIVES[FLAGS.loss].bank:
        raise InputError("--mode=import_checkpoint takes runs with a bank: --loss=ir, la or vie")


def check_networks() -> None:
    """The runs whose networks a mode begins with."""
    if FLAGS.mode == "finetune" and FLAGS.second_workdir and not FLAGS.start_from:
        raise InputError("--second_workdir: give VIE-Single's run as --start_from")
    if FLAGS.mode == "import_checkpoint" and FLAGS.start_from:
        raise InputError("--start_from is for runs that train, not --mode=import_checkpoint")
    untrained = FLAGS.mode in ("pretrain", "finetune", "look", "import_checkpoint")
    for name in ("second_workdir", "frames_of"):
        start = name == "second_workdir" and FLAGS.start_from and FLAGS.mode in ("finetune", "look")
        if FLAGS[name].value and untrained and not start:
            raise InputError(f"--{name} is for networks that are trained, not --mode={FLAGS.mode}")
    if FLAGS.second_workdir and FLAGS.frames_of:
        raise InputError("--second_workdir and --frames_of exclude each other: give one of them")


def check_numbers() -> None:
    """Numbers that are none, and lists of them."""
    for name in names():
        if isinstance(FLAGS[name].value, float) and not math.isfinite(FLAGS[name].value):
            raise InputError(f"--{name}={FLAGS[name].value}: give a finite number")
    given_noise = FLAGS.colour_noise is not None
    try:
        noise = [float(x) for x in (FLAGS.colour_noise if given_noise else [0] * 5)]
        drops = [int(x) for x in FLAGS.lr_boundaries]
        ir_drops = [int(x) for x in FLAGS.ir_lr_boundaries or []]
        clusters = [int(x) for x in FLAGS.clusters or [1]]
    except ValueError as error:
        raise InputError(
            f"--colour_noise, --clusters and the boundaries of the rate take numbers: {error}"
        ) from error
    if FLAGS.clusters == [] or min(clusters) < 1:
        raise InputError("--clusters takes numbers from 1 on, such as 8000 or 500,500,500")
    for name, steps in (("lr_boundaries", drops), ("ir_lr_boundaries", ir_drops)):
        if steps != sorted(steps) or min(steps, default=0) < 0:
            raise InputError(f"--{name} takes steps in ascending order, such as 800,1000")
    if len(noise) != 5 or not all(0 <= x <= 1 for x in noise) or noise[3] > 0.5:
        raise InputError(
            "--colour_noise takes five numbers: brightness, contrast, saturation in 0..1, hue in "
            "0..0.5, probability of grey in 0..1"
        )


def note_late_drops() -> None:
    """Says which drops of the rate training does not come to.

    They are no error: a flagfile's run may be cut short for a try, or made longer later.
    """
    if FLAGS.mode not in ("pretrain", "finetune", "readout"):
        return
    before = (FLAGS.ir_steps or 0) if FLAGS.loss == "vie" else 0
    late = [drop for drop in FLAGS.lr_boundaries if before + int(drop) >= FLAGS.steps > 0]
    if late:
        after = f", {before} of them before LA" if before else ""
        print(
            f"note: the rate does not drop after {', '.join(late)}: training ends after --steps="
            f"{FLAGS.steps}{after}; give more steps, or other --lr_boundaries",
            file=sys.stderr,
        )
