"""Results of a run's evaluations: one line each in the run's results.jsonl."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np

from vie_tf.errors import writing_to

FILE = "results.jsonl"


def append(workdir: Path, kind: str, values: dict) -> None:
    """Adds the results of one evaluation to those of a run.

    Args:
        workdir: the run's folder.
        kind: of evaluation: knn, retrieval, readout, finetune or supervised.
        values: JSON's types and NumPy's scalars. A reader needs: data, fingerprint, family, loss,
            step, seed, top1 (0 to 1), its 95 % interval, videos.

    Raises:
        OSError: the file cannot be written.
        ValueError: a number is not finite; nothing is written.
    """
    line = json.dumps({"kind": kind, **values}, allow_nan=False, default=np.generic.item) + "\n"
    path = Path(workdir) / FILE
    with writing_to(path), path.open("a+b") as file:
        if file.seek(0, 2):
            file.seek(-1, 2)
            if file.read(1) != b"\n":  # half a line, from a process that was killed
                line = "\n" + line
        file.write(line.encode())


def read(workdir: Path) -> list[dict]:
    """Returns all results of a run's evaluations, oldest first; an empty list if there are none.

    Damaged lines are left out, with a warning.
    """
    path = Path(workdir) / FILE
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            values = json.loads(line)
        except ValueError:  # also for text that is not UTF-8
            values = None
        if isinstance(values, dict) and "kind" in values:
            found.append(values)
        else:
            logging.getLogger(__name__).warning("%s: line %d is damaged and left out", path, number)
    return found
