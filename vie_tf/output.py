"""Output to --out: written completely, or not at all."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vie_tf.data import files
from vie_tf.errors import InputError, writing_to


def writable(out: str, marker: str = "") -> Path:
    """Returns the path of --out after checking, before hours of work, that it can be written.

    Args:
        out: the file to write; or a folder, if there is a `marker`.
        marker: a file that every such folder has; a folder with other content is not replaced.

    Raises:
        InputError: it cannot be written, or is something else.
    """
    path = Path(out)
    try:
        if path.exists() and path.is_dir() != bool(marker):
            raise InputError(f"--out={out} is a {'file' if marker else 'folder'}; give another")
        if marker and path.is_dir() and any(path.iterdir()) and not (path / marker).exists():
            raise InputError(f"--out={out} holds other files; give a new or empty folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            return path
    except OSError as error:
        raise InputError(f"cannot write --out={out}: {error.strerror}; give another") from error


@contextlib.contextmanager
def whole(out: Path) -> Iterator[Path]:
    """Yields a path to write to, which replaces `out` when all is written, or is removed."""
    with writing_to(out), files.whole(str(out)) as part:
        yield Path(part)
