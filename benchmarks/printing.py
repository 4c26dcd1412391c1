"""What a benchmark prints, kept in a file too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def printer(out: str | None) -> Callable[..., None]:
    """say(line, show=True), a print; after each, the file `out` holds all lines, shown or not."""
    lines: list[str] = []

    def say(line: str, show: bool = True) -> None:
        lines.append(line)
        if show:
            print(line, flush=True)
        if out:
            Path(out).parent.mkdir(parents=True, exist_ok=True)
            Path(out).write_text("\n".join(lines) + "\n")

    return say
