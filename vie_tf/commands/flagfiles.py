"""Flagfiles, of one's own or by name among those that come with the package (flags/)."""

from __future__ import annotations

import difflib
from pathlib import Path

from vie_tf.errors import InputError

_PACKAGE = Path(__file__).resolve().parents[1]
# In the installed package, or beside it in a checkout.
_PLACES = (_PACKAGE / "flags", _PACKAGE.parent / "flags")
SHIPPED = next((x for x in _PLACES if x.is_dir()), _PLACES[0])


def expanded(words: list[str], within: tuple[Path, ...] = ()) -> list[str]:
    """Puts the flags of flagfiles in the place of --flagfile=FILE.

    FILE is a file or, if there is none, the name of one that comes with the package: `vie_single`,
    `table1/vie_single_kinetics`, or `flags/vie_single.flags`.

    Args:
        words: of a command line, or of a flagfile.
        within: the flagfiles that they are in.

    Returns:
        The words, without --flagfile.

    Raises:
        InputError: there is no such file, it cannot be read, or files contain each other.
    """
    found, words = [], list(words)
    while words:
        word = words.pop(0)
        if word == "--":
            return [*found, word, *words]
        name, equals, value = word.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            found.append(word)
            continue
        if not equals:
            if not words:
                raise InputError("--flagfile: give a file")
            value = words.pop(0)
        path = _file(value)
        if path in within:
            raise InputError(f"--flagfile={value}: {path} contains itself")
        found += expanded(_words(path), (*within, path))
    return found


def _file(name: str) -> Path:
    """Returns the file of that name, or that which comes with the package."""
    own = Path(name.strip()).expanduser()
    if own.is_file():
        return own.resolve()
    short = name.removeprefix("flags/").removesuffix(".flags")
    path = SHIPPED / f"{short}.flags"
    if path.is_file():
        return path
    names = [str(x.relative_to(SHIPPED).with_suffix("")) for x in SHIPPED.rglob("*.flags")]
    near = difflib.get_close_matches(short, sorted(names), 3)
    raise InputError(
        f"--flagfile={name}: no such file, nor a name of one that comes with vie_tf"
        + (f"; did you mean {', '.join(near)}?" if near else f"; they are in {SHIPPED}")
    )


def _words(path: Path) -> list[str]:
    """Returns the lines of a flagfile, without comments and empty lines."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--flagfile={path}: cannot be read ({error})") from error
    lines = [line.strip() for line in lines]
    return [line for line in lines if line and not line.startswith(("#", "//"))]
