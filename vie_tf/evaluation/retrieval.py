"""The nearest videos of query videos, as text and as a picture.

As in the paper's Figure 2: a query is a held-out video, its answer the three nearest videos.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vie_tf.errors import InputError

_RED = "#cc0000"
_CELL = 2.0  # inches
_DPI = 100


MAX_ROWS = 5  # of a picture


@dataclasses.dataclass(frozen=True)
class Video:
    """One cell of a retrieval table or picture.

    Attributes:
        id: the video's id.
        label: its label's name, '' where unknown.
        similarity: to the query of its row, -1 to 1; None for the query itself.
        frame: uint8 [H, W, 3], RGB; needed by the picture only.
    """

    id: str
    label: str = ""
    similarity: float | None = None
    frame: np.ndarray | None = None


def _is_wrong(query: Video, video: Video) -> bool:
    return bool(query.label and video.label) and query.label != video.label


def retrieval_table(rows: Sequence[tuple[Video, Sequence[Video]]]) -> list[str]:
    """Formats queries and their neighbours as text, one video per line.

    Args:
        rows: a query and its neighbours, nearest first.

    Returns:
        Lines without line ends: the query's id and label, then rank, similarity, id and label of
        each neighbour, with a remark if its label is not the query's.
    """

    def name(video: Video) -> str:
        return printable(video.id) + (f"  [{printable(video.label)}]" if video.label else "")

    lines = []
    for query, neighbours in rows:
        lines.append(name(query))
        for rank, video in enumerate(neighbours, 1):
            remark = "  (another label)" if _is_wrong(query, video) else ""
            lines.append(f"{rank:4d}  {video.similarity:6.3f}  {name(video)}{remark}")
    return lines


def retrieval_picture(path: str, rows: Sequence[tuple[Video, Sequence[Video]]]) -> None:
    """Draws queries (left) and their nearest videos as the paper's Figure 2 does, into a PNG.

    Id, label and similarity are below each frame. A neighbour whose label is known and not the
    query's has a red frame and a red caption with a cross.

    Args:
        path: the PNG to write.
        rows: a query and its neighbours, nearest first, all with frames of any size; a picture of
            more than `MAX_ROWS` is too tall to look at.

    Raises:
        InputError: there is nothing to draw.
    """
    if not rows:
        raise InputError(f"retrieval: no query to draw in {path}; give at least one video")
    columns = 1 + max(len(neighbours) for _, neighbours in rows)
    heights = [_CELL * max(_aspect(video) for video in (query, *found)) for query, found in rows]
    title, caption, gap = 0.3, 0.56, 0.12
    width = columns * (_CELL + gap) + 2 * gap  # one gap more sets the query apart
    total = title + sum(heights) + len(rows) * caption
    figure = Figure(figsize=(width, total), dpi=_DPI, facecolor="white")
    bottom = total - title
    for row, (query, neighbours) in enumerate(rows):
        bottom -= heights[row]
        for column, video in enumerate((query, *neighbours)):
            left = gap + column * (_CELL + gap) + (gap if column else 0)
            box = (left / width, bottom / total, _CELL / width, heights[row] / total)
            _draw(figure.add_axes(box, anchor="S"), video, column > 0 and _is_wrong(query, video))
            if row == 0:
                text = f"nearest {column}" if column else "query"
                place = ((left + _CELL / 2) / width, 1 - 0.6 * title / total)
                figure.text(*place, text, ha="center", va="center", fontsize=9, color="#606060")
        bottom -= caption
    with warnings.catch_warnings():
        # A character that the font lacks is drawn as a box; the user need not be warned.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(pathlib.Path(path), format="png", dpi=_DPI)


def _aspect(video: Video) -> float:
    """Returns height over width, limited so that an upright video is not too tall."""
    height, width = video.frame.shape[:2]
    return min(1.5, height / width)


def _draw(axes: Axes, video: Video, wrong: bool) -> None:
    color = _RED if wrong else "#202020"
    # Tiny frames are not smoothed, which would hide what the network saw.
    tiny = video.frame.shape[1] <= _CELL * _DPI / 2
    axes.imshow(video.frame, interpolation="nearest" if tiny else "antialiased")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=color, linewidth=3 if wrong else 0.6)
    second = ["\N{BALLOT X}"] if wrong else []
    if video.label:
        second.append(short(video.label, 20))
    if video.similarity is not None:
        second.append(f" {video.similarity:.2f}")
    axes.annotate(
        f"{short(video.id, 28)}\n{' '.join(second)}",
        (0.5, 0),
        (0, -5),
        "axes fraction",
        "offset points",
        ha="center",
        va="top",
        fontsize=8,
        linespacing=1.4,
        color=color,
        parse_math=False,  # a $ in a file name is literal
    )


def printable(text: str) -> str:
    """Makes any file name printable in a line: no control characters, no lone surrogates."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def short(text: str, letters: int) -> str:
    """Cuts the middle out of a long name, since its end distinguishes files."""
    text = printable(text)
    if len(text) <= letters:
        return text
    tail = math.ceil(letters * 0.6)
    return text[: letters - tail - 1] + "\N{HORIZONTAL ELLIPSIS}" + text[-tail:]
