"""What evaluations found: a line in the run's results.jsonl for each."""

from __future__ import annotations

import json
from pathlib import Path


def append(workdir: Path, kind: str, values: dict) -> None:
    """Adds a line to `workdir`/results.jsonl: the kind of evaluation, and what it found."""
    with open(workdir / "results.jsonl", "a") as file:
        file.write(json.dumps({"kind": kind, **values}) + "\n")
