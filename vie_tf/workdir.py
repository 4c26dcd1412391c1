"""A run's folder: which flags and which data set it was made with."""

from __future__ import annotations

import json
from pathlib import Path

from vie_tf.errors import InputError

# Flags that may differ when a run goes on: they change neither its steps' numbers nor its data.
FREE = (
    "mode",
    "data",
    "workdir",
    "steps",
    "out",
    "query",
    "k",
    "evaluate_every",
    "save_every",
    "log_every",
    "keep",
    "decoder",
)


def write(path: Path, text: str) -> None:
    """Writes a small file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def check_run(workdir: Path, flags: dict, data: dict) -> None:
    """Checks that the run in a folder, if there is one, is the same one.

    Args:
        workdir: the folder.
        flags: name -> value of all flags of the run.
        data: identity of the data set: `data`, `videos`, `fingerprint`.

    Raises:
        InputError: the folder holds a run with another flag or of other videos.
    """
    if not (workdir / "flags.txt").exists():
        return
    before = read_flags(workdir)
    for name in sorted(set(before) | set(flags)):
        old, new = before.get(name, ""), _text(flags.get(name))
        if name not in FREE and old != new:
            raise InputError(
                f"{workdir} holds a run with --{name}={old}, not {new or 'the default'}: "
                "repeat that flag, or use another --workdir"
            )
    known = json.loads((workdir / "data.json").read_text())
    if known["fingerprint"] != data["fingerprint"]:
        raise InputError(
            f"{workdir} holds a run on another data set ({known['videos']} videos of "
            f"{known['data']}): give that --data, or use another --workdir"
        )


def write_run(workdir: Path, flags: dict, data: dict) -> None:
    """Writes `flags.txt`, a flagfile that repeats the run, and `data.json`.

    Arguments as `check_run`.

    Raises:
        InputError: they cannot be written.
    """
    lines = [
        f"--{name}={_text(value)}\n" for name, value in sorted(flags.items()) if value is not None
    ]
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write(workdir / "data.json", json.dumps(data) + "\n")
        write(workdir / "flags.txt", "".join(lines))
    except OSError as error:
        raise InputError(f"cannot write --workdir={workdir}: {error.strerror}") from error


def read_flags(workdir: Path) -> dict[str, str]:
    """The flags of the run in a folder, as text.

    Raises:
        InputError: there is no run.
    """
    try:
        lines = (workdir / "flags.txt").read_text().splitlines()
    except OSError as error:
        raise InputError(
            f"--workdir={workdir} holds no run; make one with --mode=pretrain"
        ) from error
    return dict(line[2:].split("=", 1) for line in lines)


def _text(value) -> str:
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
