"""--help: the flags grouped by purpose; with --mode, only those of that mode."""

from __future__ import annotations

import dataclasses
import textwrap

from vie_tf.commands.flags import FLAGS, MODES, OF_MODE, TITLES, of_objectives
from vie_tf.commands.rules import NEEDS, REFUSED
from vie_tf.objectives.registry import OBJECTIVES
from vie_tf.settings import GROUPS, LEARNING
from vie_tf.settings import text as value_text

WIDTH, GENERAL = 96, "what to do"
# Settings that modes take which do not train, where these are not all.
TAKES = {
    "export": "second_workdir frame_interval",
    "embed": "data label_column split_column decoder clips ten_crop second_workdir frame_interval",
    "look": (
        "data label_column split_column decoder held_out subset bin_frames family depth image_size "
        "frame_interval augmentation colour_noise flip batch_size start_from second_workdir seed "
        "legacy"
    ),
    "report": "",
    "import_checkpoint": (
        "family depth image_size frame_interval augmentation colour_noise flip precision seed "
        "legacy steps batch_size learning_rate lr_boundaries warmup_steps weight_decay bn_momentum"
    ),
}
TAKES["retrieve"] = TAKES["embed"]
TAKES["knn"] = TAKES["embed"] + " k"
TAKES["readout"] = TAKES["knn"] + (
    " steps data_service max_unreadable log_every evaluate_every save_every keep deterministic xla "
    + " ".join(LEARNING)
)


def is_asked_for(words: list[str]) -> bool:
    """Returns whether the words of a command line ask for help."""
    return any(word in ("--help", "-help", "-h", "--helpfull", "--helpshort") for word in words)


def text(words: list[str]) -> str:
    """Returns the text of --help, for the mode that the words name or for all."""
    mode = mode_of(words)
    if mode:
        head = f"vie_tf --mode={mode}: {MODES[mode]}. Needs "
        head += ", ".join(f"--{name}" for name in NEEDS[mode]) + ".\n"
    else:
        head = "vie_tf --mode=MODE --FLAG=VALUE ..; vie_tf --mode=MODE --help shows those of one.\n"
        head += "".join(f"  {name:18}{said}\n" for name, said in MODES.items())
        head += (
            "--flagfile=FILE reads flags from a file; --flagfile=vie_single, or another name from\n"
            "docs/experiments.md, from one that comes with vie_tf. --version shows all releases.\n"
        )
    parts = [head]
    for title, names in groups(mode).items():
        if names:
            parts.append(f"\n{title}\n" + "".join(map(line, names)))
    return "".join(parts)


def mode_of(words: list[str]) -> str | None:
    """Returns the mode that the words of a command line name, if it exists."""
    for word, after in zip(words, [*words[1:], ""]):
        name, _, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name == "mode" and (value or after) in MODES:
            return value or after
    return None


def groups(mode: str | None) -> dict[str, list[str]]:
    """Returns the flags of a mode, or all flags, grouped by purpose."""
    trains = mode in (None, "pretrain", "finetune", "look", "import_checkpoint")
    own = {name: modes for name, modes in OF_MODE.items() if mode is None or mode in modes}
    found = {GENERAL: ["mode", "workdir", "out"] if mode is None else [*NEEDS[mode]]}
    elsewhere = {*found[GENERAL], *REFUSED.get(mode, ())}
    for group, kind in GROUPS.items():
        names = [f.name for f in dataclasses.fields(kind) if f.name not in elsewhere]
        if mode in TAKES:
            names = [name for name in names if name in TAKES[mode].split()]
        found[TITLES[group]] = names
    if trains and mode != "finetune":
        ours = of_objectives()
        if mode == "import_checkpoint":
            ours = {name: of for name, of in ours.items() if any(OBJECTIVES[x].bank for x in of)}
        found["objective"] = ["loss", *ours]
    evaluates = mode in ("knn", "embed", "retrieve", "readout", "export")
    frames = ["frames_of"] if mode is None or evaluates else []
    found["one mode's own" if mode is None else "its own"] = [
        n for n in (*own, *frames) if n not in found[GENERAL]
    ]
    return found


def line(name: str) -> str:
    """Returns a flag's line of help, with its default."""
    flag = FLAGS[name]
    said = flag.help
    if choices := getattr(flag.parser, "enum_values", None):
        said = said.split(">: ", 1)[1]
        said += f" One of {', '.join(choices)}."
    default = value_text(flag.default)
    if default and f"Default: {default}" not in said:
        said += f" Default: {default}."
    if losses := of_objectives().get(name):
        said += f" For --loss={', '.join(losses)}."
    name = f"[no]{name}" if flag.boolean else name
    first, *rest = textwrap.wrap(said, WIDTH - 22) or [""]
    lines = [f"  --{name:18} {first}" if len(name) < 19 else f"  --{name}\n{'':23}{first}"]
    return "\n".join([*lines, *(f"{'':23}{more}" for more in rest)]) + "\n"
