"""A finished set from which another is made: what it has is copied, what it lost is tried again."""

from __future__ import annotations

import os
from functools import cache

from data_prep.pool import TWICE
from data_prep.standardise import Standardised
from vie_tf.data import files, prepared


class Earlier:
    """The outcomes of a finished set, by the rows of its source.

    Args:
        folder: the set, local or remote.

    Raises:
        InputError: it is damaged.
    """

    def __init__(self, folder: str) -> None:
        self._folder, self._rows = folder, prepared.read_manifest(folder)
        self._files = prepared.read_description(folder)["files"]
        self._index = prepared.read_index(folder)

    def lost(self, row: int) -> bool:
        """Whether a video is to be tried again."""
        return _is_lost(self._rows[row])

    def copy(self, row: int, spool: str) -> Standardised:
        """What `standardise` said of a video; the records of a kept one are copied to `spool`."""
        told, mark = self._rows[row], "source_"
        known = {name[len(mark) :]: told[name] for name in told if name.startswith(mark)}
        result = Standardised(told["status"], told["reason"], source=known)
        if result.status == "kept":
            index, video = self._index, int(told["index"])
            shard, start = (index[name][video : video + 2].tolist() for name in ("shard", "start"))
            name = prepared.shard_name(shard[0])
            end = start[1] if shard[1:] == shard[:1] else self._files[name]
            first, after = index["first"][video : video + 2]
            result.records = end - start[0]
            result.offsets = index["offset"][first:after].tolist()
            result.height, result.width = index["size"][video].tolist()
            path = os.path.join(self._folder, name)
            (records,) = files.read_ranges(path, [(start[0], result.records)])
            with open(spool, "wb") as file:
                file.write(records)
        return result


def count_lost(folder: str) -> int:
    """How many videos of a finished set are to be tried again."""
    return sum(map(_is_lost, prepared.read_manifest(folder)))


def _is_lost(told: dict[str, str]) -> bool:
    """Whether it was a crash, a hang or storage that a row of a manifest was skipped for."""
    return told["reason"].endswith(TWICE)


@cache
def open_earlier(folder: str) -> Earlier | None:
    """The set of --again, one for all threads; None where there is none."""
    return Earlier(folder) if folder else None
