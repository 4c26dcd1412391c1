"""What a preparation has written so far: it can be stopped anywhere and go on."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np

from data_prep.standardise import Standardised
from vie_tf.data import prepared
from vie_tf.data.source import SourceVideo
from vie_tf.errors import InputError

SHARD_BYTES = 1_000_000_000
MANIFEST = (
    "path,index,label,split,status,reason,frames,height,width,source_frames,source_fps,"
    "source_seconds,source_height,source_width,source_bytes"
).split(",")


def refuse_other_request(out: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raises InputError, naming what differs, unless a set was begun by the same request."""
    for name, value in new.items():
        if old.get(name) != value:
            what = "other source files" if name == "source" else f"--{name}={old.get(name)}"
            now = "" if name == "source" else f", not {value}"
            raise InputError(
                f"{out}: was made with {what}{now}; repeat that request or choose another --out"
            )


class Journal:
    """Shards and journal of an unfinished set: what is written in whole, and goes on from there."""

    def __init__(self, out: str, request: dict[str, Any]) -> None:
        self.out, self.path = out, os.path.join(out, "journal.jsonl")
        if not os.path.exists(self.path) and os.path.isdir(out) and os.listdir(out):
            raise InputError(f"{out}: holds other files; choose an empty or new folder as --out")
        os.makedirs(out, exist_ok=True)
        self._file = open(self.path, "a+b")  # noqa: SIM115, held open for its lock
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"{out}: another data_prep.videos is at work there; wait") from error
        self._start(request)

    def entries(self) -> Iterator[dict[str, Any]]:
        """The whole lines about videos."""
        with open(self.path, "rb") as file:
            next(file)
            for line in file:
                yield json.loads(line)

    def _start(self, request: dict[str, Any]) -> None:
        """Reads what is there; cuts off what is not whole."""
        self.done, self.kept, self.shard, self.end, keep = 0, 0, 0, 0, 0
        with open(self.path, "rb") as file:
            for number, line in enumerate(file):
                try:
                    entry = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    entry = None
                if entry is None:
                    break
                if number == 0:
                    refuse_other_request(self.out, entry, request)
                elif not self._holds(entry):
                    break
                else:
                    self.done += 1
                    if entry["status"] == "kept":
                        self.kept += 1
                        self.shard, self.end = entry["shard"], entry["start"] + entry["records"]
                keep += len(line)
        self._file.truncate(keep)
        if keep == 0:
            self._write(request)
        shutil.rmtree(os.path.join(self.out, "spool"), ignore_errors=True)
        os.mkdir(os.path.join(self.out, "spool"))
        if os.path.exists(self._shard_path(self.shard + 1)):
            os.remove(self._shard_path(self.shard + 1))
        self._open_shard().truncate(self.end)

    def _holds(self, entry: dict[str, Any]) -> bool:
        """Whether the shard really has what the journal says (a crash may lose the last bytes)."""
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

    def _write(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()

    def add(self, result: Standardised, spool: str) -> None:
        """Appends one video: its records first, then the line that makes them count."""
        entry = asdict(result)
        if result.status == "kept":
            if self.end >= SHARD_BYTES:
                os.fsync(self._shard_file.fileno())
                self._shard_file.close()
                self.shard, self.end = self.shard + 1, 0
                self._open_shard()
            with open(spool, "rb") as file:
                shutil.copyfileobj(file, self._shard_file, 1 << 20)
            self._shard_file.flush()
            entry.update(shard=self.shard, start=self.end)
            self.end += result.records
            self.kept += 1
        self._write(entry)
        self.done += 1
        if os.path.exists(spool):
            os.remove(spool)

    def finish(self, source: list[SourceVideo], request: dict[str, Any]) -> None:
        """Writes index, manifest and, last and at once, the description; removes the journal."""
        os.fsync(self._shard_file.fileno())
        self._shard_file.close()
        _write_index(self, os.path.join(self.out, "index.npz"))
        frames = _write_manifest(self, source, os.path.join(self.out, "manifest.csv"))
        names = [prepared.shard_name(number) for number in range(self.shard + 1)]
        names += ["index.npz", "manifest.csv"]
        description = {
            "format": prepared.FORMAT,
            "version": prepared.VERSION,
            "request": request,
            "videos": self.kept,
            "skipped": self.done - self.kept,
            "frames": frames,
            "files": {name: os.path.getsize(os.path.join(self.out, name)) for name in names},
        }
        path = os.path.join(self.out, "dataset.json")
        with open(path + ".part", "w", encoding="utf-8") as file:
            json.dump(description, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(path + ".part", path)
        shutil.rmtree(os.path.join(self.out, "spool"))
        os.remove(self.path)


def _write_index(journal: Journal, path: str) -> None:
    shard, start, counts, sizes, offsets = [], [], [0], [], []
    for entry in journal.entries():
        if entry["status"] == "kept":
            shard.append(entry["shard"])
            start.append(entry["start"])
            counts.append(len(entry["offsets"]))
            sizes.append((entry["height"], entry["width"]))
            offsets.append(np.array(entry["offsets"], np.int32))
    np.savez(
        path,
        shard=np.array(shard, np.int32),
        start=np.array(start, np.int64),
        first=np.cumsum(counts, dtype=np.int64),
        offset=np.concatenate(offsets),
        size=np.array(sizes, np.int32),
    )


def _write_manifest(journal: Journal, source: list[SourceVideo], path: str) -> int:
    """One row for each input video; returns the number of frames of all."""
    index, frames = 0, 0
    extra = list(source[0].extra)
    named = {name: f"csv_{name}" if name in MANIFEST else name for name in extra}
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        table = csv.DictWriter(file, MANIFEST + [named[name] for name in extra], restval="")
        table.writeheader()
        for video, entry in zip(source, journal.entries()):
            row = {named[name]: value for name, value in video.extra.items()}
            row.update(path=video.id, label=video.label, split=video.split)
            row.update(status=entry["status"], reason=entry["reason"])
            row.update((f"source_{name}", value) for name, value in entry["source"].items())
            if entry["status"] == "kept":
                row.update(index=index, frames=len(entry["offsets"]))
                row.update(height=entry["height"], width=entry["width"])
                index, frames = index + 1, frames + len(entry["offsets"])
            table.writerow(row)
    return frames
