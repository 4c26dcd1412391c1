"""What evaluations of a run found, one JSON object a line in its folder's results.jsonl."""

from __future__ import annotations

import json
from pathlib import Path


def append(workdir: Path, kind: str, values: dict) -> None:
    """Appends a line to WORKDIR/results.jsonl.

    Args:
        workdir: of the run; it is there.
        kind: of evaluation: knn, retrieval, readout, finetune or supervised.
        values: what was found, and of what.
    """
    with open(workdir / "results.jsonl", "a") as file:
        file.write(json.dumps({"kind": kind, **values}) + "\n")
