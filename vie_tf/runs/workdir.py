"""A run's folder: the flags and the data set it was made with."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from vie_tf.data.files import is_remote
from vie_tf.errors import InputError
from vie_tf.objectives.registry import OBJECTIVES
from vie_tf.output import whole
from vie_tf.settings import Data, Settings, every, made, read, text

# Flags that may differ when a run is resumed: they change neither its steps' numbers, except for
# their last bits, nor its data, which has a fingerprint.
FREE = (
    "mode data decoder data_service max_unreadable steps clips ten_crop k evaluate_every "
    "save_every log_every keep deterministic xla"
).split()


def kept(settings: Settings) -> dict[str, object]:
    """Returns all settings stored for a run, by name, with the defaults of other objectives."""
    others = (f for kind in OBJECTIVES.values() for f in dataclasses.fields(kind))
    return {f.name: f.default for f in others} | settings.values()


def check_run(workdir: Path, settings: Settings, data: dict) -> None:
    """Checks that the run in a folder, if there is one, is the same one.

    Args:
        workdir: the folder.
        settings: of the run, complete.
        data: identity of the data set: `data`, `videos`, `fingerprint`.

    Raises:
        InputError: the folder holds a run with another flag or on other videos.
    """
    if not (workdir / "flags.txt").exists():
        return
    known = read_data(workdir)
    if known["fingerprint"] != data["fingerprint"]:
        raise InputError(
            f"{workdir} holds a run on another data set ({known['videos']} videos of "
            f"{known['data']}): give that --data, or use another --workdir"
        )
    before, flags = read_flags(workdir), settings.values()
    if (before["mode"] == "finetune") != settings.finetunes:
        raise InputError(
            f"{workdir} holds a run of --mode={before['mode']}: repeat that, or use another "
            "--workdir"
        )
    first = every(type(settings.objective))
    for name in sorted(flags):
        # A setting that is missing had no value, or did not exist.
        old = before.get(name, text(first[name].default) if name in first else "")
        new = text(flags[name])
        if name not in FREE and old != new:
            raise InputError(
                f"{workdir} holds a run with --{name}={old}, not {new or 'the default'}: "
                "repeat that flag, or use another --workdir"
            )


@contextlib.contextmanager
def held(workdir: Path) -> Iterator[None]:
    """Creates the folder if necessary, and locks it against training by other processes.

    A folder that is still empty at the end is removed: a request that cannot be met leaves nothing.

    Raises:
        InputError: it cannot be created, or another process is training there.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        folder = os.open(workdir, os.O_RDONLY)
    except OSError as error:
        raise InputError(
            f"cannot write --workdir={workdir}: {error.strerror}; fix that, or give another"
        ) from error
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"--workdir={workdir}: another process is training there; wait, or use another"
            ) from error
        yield
    finally:
        os.close(folder)  # which releases the lock
        with contextlib.suppress(OSError):
            workdir.rmdir()


def write_run(workdir: Path, settings: Settings, data: dict) -> None:
    """Writes `flags.txt`, a flagfile that repeats the run, and `data.json`.

    Arguments as for `check_run`.

    Raises:
        InputError: they cannot be written.
    """
    flags = sorted(kept(settings).items())
    lines = [f"--{name}={text(value)}\n" for name, value in flags if value is not None]
    try:
        for name, said in (("data.json", json.dumps(data) + "\n"), ("flags.txt", "".join(lines))):
            with whole(workdir / name) as part:
                part.write_text(said)
    except OSError as error:
        raise InputError(
            f"cannot write --workdir={workdir}: {error.strerror}; fix that, or give another"
        ) from error


def read_flags(workdir: Path) -> dict[str, str]:
    """Returns the flags of the run in a folder, as text; flags without a value are left out.

    Raises:
        InputError: there is no run, or its file is damaged.
    """
    try:
        lines = (workdir / "flags.txt").read_text().splitlines()
    except OSError as error:
        raise InputError(
            f"{workdir} holds no run; make one with --mode=pretrain --workdir={workdir}"
        ) from error
    flags = dict(line[2:].split("=", 1) for line in lines if "=" in line)
    # What a later version has added has its default.
    if not {"mode", "loss", "family", "seed"} <= flags.keys():
        raise InputError(
            f"{workdir}/flags.txt is damaged, or of another version; use another --workdir"
        )
    return flags


def read_settings(workdir: Path) -> Settings:
    """Returns the settings of the run in a folder.

    Raises:
        InputError: there is no run, its file is damaged, or its objective does not exist.
    """
    said = read_flags(workdir)
    try:
        own = every(OBJECTIVES[said["loss"]])
        values = {name: read(f, said[name]) for name, f in own.items() if name in said}
        return made({"mode": said["mode"], "loss": said["loss"], **values}, OBJECTIVES)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{workdir}/flags.txt is damaged, or of another version ({error}); use another "
            "--workdir"
        ) from error


def said_of(workdir: Path) -> dict[str, object]:
    """Describes the run in a folder for results: `family`, `loss`, `seed` and `trained_on`."""
    run = read_settings(workdir)
    return {
        "family": run.network.family,
        "loss": run.loss,
        "seed": run.start.seed,
        "trained_on": read_data(workdir)["fingerprint"],
    }


def said_of_data(data: Data, fingerprint: str) -> dict[str, object]:
    """Describes the videos of --data for results: where they are, and the columns read."""
    return {
        "data": absolute(data.data),
        "fingerprint": fingerprint,
        "label_column": data.label_column,
        "split_column": data.split_column,
    }


def absolute(path: str) -> str:
    """Returns the absolute path; an address is left unchanged."""
    return path if is_remote(path) else os.path.abspath(path)


def read_data(workdir: Path) -> dict:
    """Returns the data the run in a folder used: `data`, `videos`, `fingerprint`, `label_names`.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        return json.loads((workdir / "data.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{workdir}/data.json is missing or damaged; use another --workdir"
        ) from error
