"""Makes a set from a finished one: copies what it has, and tries again what it lost."""

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
        """Returns whether a video must be tried again."""
        return _is_lost(self._rows[row])

    def copy(self, row: int, spool: str) -> Standardised:
        """Returns the result of `standardise`; copies the records of a kept video to `spool`."""
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
    """Counts the videos of a finished set that must be tried again."""
    return sum(map(_is_lost, prepared.read_manifest(folder)))


def _is_lost(told: dict[str, str]) -> bool:
    """Returns whether a manifest's row was skipped because of a crash, a hang or storage."""
    return told["reason"].endswith(TWICE)


@cache
def open_earlier(folder: str) -> Earlier | None:
    """Returns the set of --again, shared by all threads; None if there is none."""
    return Earlier(folder) if folder else None
