"""The journal of a preparation, which can be stopped anywhere and resumed."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, BinaryIO

from data_prep.finish import place
from data_prep.standardise import Standardised
from vie_tf.data import prepared
from vie_tf.errors import InputError


def refuse_other_request(out: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raises InputError, naming what differs, unless a set was begun by the same request."""
    for name, value in new.items():
        if old.get(name) != value:
            if name == "by":
                raise InputError(f"{out}: was begun by {old.get(name)}; go on with that")
            what = "other source files" if name == "source" else f"--{name}={old.get(name)}"
            now = "" if name == "source" else f", not {value}"
            raise InputError(
                f"{out}: was made with {what}{now}; repeat that request or choose another --out"
            )


def hold(out: str, request: dict[str, Any]) -> BinaryIO:
    """Opens the journal of a local folder, created if necessary, and locks out other processes.

    Args:
        out: the folder.
        request: the journal's first line.

    Raises:
        InputError: the folder holds something else, another process has the journal, or it was
            begun by another request.
    """
    path = os.path.join(out, "journal.jsonl")
    if not os.path.exists(path) and os.path.isdir(out) and os.listdir(out):
        raise InputError(f"{out}: holds other files; choose an empty or new folder as --out")
    os.makedirs(out, exist_ok=True)
    file = open(path, "a+b")  # noqa: SIM115, held open for its lock
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise InputError(f"{out}: another preparation is at work there; wait") from error
    file.seek(0)
    first = file.readline()
    if first.endswith(b"\n"):
        refuse_other_request(out, json.loads(first), request)
    else:
        file.truncate(0)
        file.write(json.dumps(request).encode() + b"\n")
        file.flush()
    return file


class Journal:
    """Shards and journal of an unfinished set: keeps what is complete, and continues from there."""

    def __init__(self, out: str, request: dict[str, Any]) -> None:
        self.out, self.path = out, os.path.join(out, "journal.jsonl")
        self._file = hold(out, request)
        self._start()

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yields the complete entries about videos."""
        with open(self.path, "rb") as file:
            next(file)
            for line in file:
                yield json.loads(line)

    def _start(self) -> None:
        """Reads what is there; cuts off what is incomplete."""
        self.done, self.shard, self.end = 0, 0, 0
        with open(self.path, "rb") as file:
            keep = len(next(file))
            for line in file:
                try:
                    entry = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    entry = None
                if entry is None or not self._holds(entry):
                    break
                self.done += 1
                if entry["status"] == "kept":
                    self.shard, self.end = entry["shard"], entry["start"] + entry["records"]
                keep += len(line)
        self._file.truncate(keep)
        shutil.rmtree(os.path.join(self.out, "spool"), ignore_errors=True)
        os.mkdir(os.path.join(self.out, "spool"))
        if os.path.exists(self._shard_path(self.shard + 1)):
            os.remove(self._shard_path(self.shard + 1))
        self._open_shard().truncate(self.end)

    def _holds(self, entry: dict[str, Any]) -> bool:
        """Returns whether the shard has what the journal says (a crash may lose the last bytes)."""
        if entry["status"] != "kept":
            return True
        path = self._shard_path(entry["shard"])
        end = entry["start"] + entry["records"]
        return os.path.isfile(path) and os.path.getsize(path) >= end

    def _shard_path(self, number: int) -> str:
        return os.path.join(self.out, prepared.shard_name(number))

    def _open_shard(self) -> BinaryIO:
        self._shard_file = open(self._shard_path(self.shard), "ab")  # noqa: SIM115
        return self._shard_file

    def add(self, result: Standardised, spool: str) -> None:
        """Appends one video: its records first, then the line that makes them count."""
        entry = asdict(result)
        if result.status == "kept":
            shard, self.end = place(self.shard, self.end)
            if shard != self.shard:
                self.close()
                self.shard = shard
                self._open_shard()
            with open(spool, "rb") as file:
                shutil.copyfileobj(file, self._shard_file, 1 << 20)
            self._shard_file.flush()
            entry.update(shard=self.shard, start=self.end)
            self.end += result.records
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()
        self.done += 1
        if os.path.exists(spool):
            os.remove(spool)

    def close(self) -> None:
        """Closes the last shard."""
        os.fsync(self._shard_file.fileno())
        self._shard_file.close()
