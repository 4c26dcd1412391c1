"""The nearest videos of query videos, as text.

As in the paper's Figure 2: a query is a held-out video, its answer the three nearest videos.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from vie_tf.printable import printable


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


def is_wrong(query: Video, video: Video) -> bool:
    """Returns whether both labels are known and differ."""
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
            remark = "  (another label)" if is_wrong(query, video) else ""
            lines.append(f"{rank:4d}  {video.similarity:6.3f}  {name(video)}{remark}")
    return lines
