"""Draws the nearest videos of query videos, as the paper's Figure 2 does."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vie_tf.drawing.png import DPI, save
from vie_tf.errors import InputError
from vie_tf.evaluation.retrieval import Video, is_wrong
from vie_tf.printable import short

MAX_ROWS = 5  # of a picture
_RED = "#cc0000"
_CELL = 2.0  # inches


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
    figure = Figure(figsize=(width, total), dpi=DPI, facecolor="white")
    bottom = total - title
    for row, (query, neighbours) in enumerate(rows):
        bottom -= heights[row]
        for column, video in enumerate((query, *neighbours)):
            left = gap + column * (_CELL + gap) + (gap if column else 0)
            box = (left / width, bottom / total, _CELL / width, heights[row] / total)
            _draw(figure.add_axes(box, anchor="S"), video, column > 0 and is_wrong(query, video))
            if row == 0:
                text = f"nearest {column}" if column else "query"
                place = ((left + _CELL / 2) / width, 1 - 0.6 * title / total)
                figure.text(*place, text, ha="center", va="center", fontsize=9, color="#606060")
        bottom -= caption
    save(figure, path)


def _aspect(video: Video) -> float:
    """Returns height over width, limited so that an upright video is not too tall."""
    height, width = video.frame.shape[:2]
    return min(1.5, height / width)


def _draw(axes: Axes, video: Video, wrong: bool) -> None:
    color = _RED if wrong else "#202020"
    # Tiny frames are not smoothed, which would hide what the network saw.
    tiny = video.frame.shape[1] <= _CELL * DPI / 2
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
