"""Writes pictures with texts of any language."""

from __future__ import annotations

import pathlib
import warnings

from matplotlib.figure import Figure

DPI = 100  # pixels an inch


def save(figure: Figure, path: str) -> None:
    """Writes a figure as a PNG of `DPI`."""
    with warnings.catch_warnings():
        # A character that the font lacks is drawn as a box; the user need not be warned.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(pathlib.Path(path), format="png", dpi=DPI)
