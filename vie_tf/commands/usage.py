"""--help: the flags grouped by purpose; with --mode, only those of that mode."""

from __future__ import annotations

import dataclasses
import textwrap

from vie_tf.commands.flags import FLAGS, MODES, OF_MODE, TITLES, of_objectives
from vie_tf.commands.rules import NEEDS, REFUSED
from vie_tf.settings import GROUPS, LEARNING
from vie_tf.settings import text as value_text

WIDTH, GENERAL = 96, "what to do"
EVALUATIONS = ("knn", "embed", "retrieve", "readout", "export")
# Settings that evaluations take, and further ones that read-outs take.
EVALUATES = (
    "data label_column split_column decoder clips ten_crop k second_workdir frame_interval"
).split()
READS_OUT = (
    "steps data_service max_unreadable log_every evaluate_every save_every keep deterministic xla"
).split()


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
    for group, kind in GROUPS.items():
        names = [f.name for f in dataclasses.fields(kind)]
        if mode == "report" or (mode == "export" and group != "network"):
            names = []
        elif mode in ("knn", "embed", "retrieve", "export"):
            names = [n for n in names if n in EVALUATES]
        elif mode == "readout":
            names = [n for n in names if n in EVALUATES or n in LEARNING or n in READS_OUT]
        elsewhere = {*found[GENERAL], *REFUSED.get(mode, ())}
        found[TITLES[group]] = [n for n in names if n not in elsewhere]
    if trains and mode != "finetune":
        found["objective"] = ["loss", *of_objectives()]
    frames = ["frames_of"] if mode in (None, *EVALUATIONS) else []
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
