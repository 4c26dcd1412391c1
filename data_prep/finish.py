"""Finishes a preparation: writes index, manifest and description from all outcomes."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from vie_tf.data import files, prepared
from vie_tf.data.source import SourceVideo
from vie_tf.errors import InputError

SHARD_BYTES = 1_000_000_000
MANIFEST = (
    "path,index,label,split,status,reason,frames,height,width,source_frames,source_fps,"
    "source_seconds,source_height,source_width,source_bytes"
).split(",")


class NothingUsable(InputError):
    """None of the input videos is kept."""


def place(shard: int, end: int) -> tuple[int, int]:
    """Returns shard and byte at which a video goes if the previous one ends at byte `end`."""
    return (shard + 1, 0) if end >= SHARD_BYTES else (shard, end)


def plan(found: list[tuple[int, int | None]]) -> Iterator[tuple[int, int, int]]:
    """Yields shard, first row, row after its last; from rows and their bytes (None: skipped)."""
    shard, end, first = 0, 0, 0
    for row, records in sorted(found):
        if records is not None:
            now, start = place(shard, end)
            if now != shard:
                yield shard, first, row
                first = row
            shard, end = now, start + records
    yield shard, first, len(found)


def finish(
    out: str,
    source: list[SourceVideo],
    entries: Iterable[dict[str, Any]],
    request: dict[str, Any],
) -> dict[str, Any]:
    """Writes index, manifest and, last and atomically, the description, which it returns.

    Args:
        out: folder of the set, local or remote, which holds its shards.
        source: the input videos.
        entries: for each of them, `Standardised` as a dict; if kept, also `shard` and `start`.
        request: what determines the bytes of the set.

    Raises:
        NothingUsable: no video is kept; then nothing is written.
    """
    manifest, kept = _manifest(source, entries)
    index = _index(kept)
    _write(os.path.join(out, "index.npz"), index)
    _write(os.path.join(out, "manifest.csv"), manifest)
    names = [prepared.shard_name(number) for number in range(kept[-1]["shard"] + 1)]
    names += ["index.npz", "manifest.csv"]
    description = {
        "format": prepared.FORMAT,
        "version": prepared.VERSION,
        "request": request,
        "videos": len(kept),
        "skipped": len(source) - len(kept),
        "frames": sum(len(entry["offsets"]) for entry in kept),
        "files": {name: files.size(os.path.join(out, name)) for name in names},
    }
    text = json.dumps(description, indent=1).encode()
    _write(os.path.join(out, "dataset.json"), io.BytesIO(text))
    return description


def _manifest(
    source: list[SourceVideo], entries: Iterable[dict[str, Any]]
) -> tuple[io.BytesIO, list[dict[str, Any]]]:
    """Returns the outcome of each input video, as a CSV, and the kept videos' index entries.

    Raises:
        NothingUsable: no video is kept.
    """
    kept, reasons = [], []
    named = {name: f"csv_{name}" if name in MANIFEST else name for name in source[0].extra}
    text = io.TextIOWrapper(manifest := io.BytesIO(), "utf-8", "surrogateescape", newline="")
    table = csv.DictWriter(text, [*MANIFEST, *named.values()], restval="")
    table.writeheader()
    for video, entry in zip(source, entries):
        row = {named[name]: value for name, value in video.extra.items()}
        row.update(path=video.id, label=video.label, split=video.split)
        row.update(status=entry["status"], reason=entry["reason"])
        row.update((f"source_{name}", value) for name, value in entry["source"].items())
        if entry["status"] == "kept":
            row.update(index=len(kept), frames=len(entry["offsets"]))
            row.update(height=entry["height"], width=entry["width"])
            own = {name: entry[name] for name in ("shard", "start", "height", "width")}
            kept.append({**own, "offsets": np.array(entry["offsets"], np.int32)})
        elif len(reasons) < 3:
            reasons.append(f"{video.id}: {entry['reason']}")
        table.writerow(row)
    if not kept:
        more = "; …" if len(source) > 3 else ""
        raise NothingUsable(
            f"none of {len(source)} files is usable ({'; '.join(reasons)}{more}); "
            "give videos that FFmpeg can decode"
        )
    text.flush()
    text.detach()
    return manifest, kept


def _index(kept: list[dict[str, Any]]) -> io.BytesIO:
    """Returns the places of the kept videos and their frames, as an .npz file."""
    counts = [len(entry["offsets"]) for entry in kept]
    np.savez(
        index := io.BytesIO(),
        shard=np.array([entry["shard"] for entry in kept], np.int32),
        start=np.array([entry["start"] for entry in kept], np.int64),
        first=np.cumsum([0, *counts], dtype=np.int64),
        offset=np.concatenate([entry["offsets"] for entry in kept]),
        size=np.array([(entry["height"], entry["width"]) for entry in kept], np.int32),
    )
    return index


def _write(path: str, content: io.BytesIO) -> None:
    with files.whole(path) as part, open(part, "wb") as file:
        file.write(content.getbuffer())
