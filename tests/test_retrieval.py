import warnings

import numpy as np
import pytest
from matplotlib.image import imread

from vie_tf.drawing.retrieval_picture import retrieval_picture
from vie_tf.errors import InputError
from vie_tf.evaluation.retrieval import Video, retrieval_table

BLUE = (20, 40, 200)


def frame(height=24, width=32, color=BLUE):
    return np.full((height, width, 3), color, np.uint8)


def row(labels, query="run"):
    found = [Video(f"v{i}.mp4", label, 0.9 - i / 10, frame()) for i, label in enumerate(labels)]
    return Video("q.mp4", query, frame=frame()), found


def pixels(path):
    return (imread(path)[..., :3] * 255).round().astype(int)


def red_columns(path):
    """Which cells of a row of four, left to right, hold red pixels."""
    picture = pixels(path)
    red = (picture[..., 0] > 180) & (picture[..., 1:].max(axis=-1) < 30)
    quarters = np.array_split(red, 4, axis=1)
    return [bool(part[:, 40:-40].any()) for part in quarters]  # a frame's side may lean over


def test_table():
    lines = retrieval_table([row(["run", "walk", ""])])
    assert [line.split() for line in lines] == [
        ["q.mp4", "[run]"],
        ["1", "0.900", "v0.mp4", "[run]"],
        ["2", "0.800", "v1.mp4", "[walk]", "(another", "label)"],
        ["3", "0.700", "v2.mp4"],
    ]
    assert "another" not in "".join(retrieval_table([row(["run", "walk"], query="")]))


def test_wrong_labels_alone_are_red(tmp_path):
    picture = tmp_path / "picture.png"
    retrieval_picture(picture, [row(["run", "walk", "run"])])
    assert red_columns(picture) == [False, False, True, False]
    retrieval_picture(picture, [row(["walk", "", "fall"])])
    assert red_columns(picture) == [False, True, False, True]
    retrieval_picture(picture, [row(["walk", "run", ""], query="")])
    assert not any(red_columns(picture))


def test_frames_are_shown(tmp_path):
    picture = tmp_path / "picture.png"
    sizes = []
    for count in (1, 2, 5):
        retrieval_picture(picture, [row(["run"] * 3)] * count)
        shown = pixels(picture)
        sizes.append(shown.shape[0])
        blue = (np.abs(shown - BLUE) <= 1).all(axis=-1).sum()
        assert blue > 0.95 * count * 4 * 200 * 150
    assert sizes[0] < sizes[1] < sizes[2]


def test_tiny_frames_keep_their_pixels(tmp_path):
    board = np.zeros((4, 4, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = (0, 255, 0)
    picture = tmp_path / "picture.png"
    retrieval_picture(picture, [(Video("q", frame=board), [])])
    shown = pixels(picture)[60:200, 40:180]  # within the frame
    black, green = (shown.max(axis=-1) < 5), (shown[..., 1] > 250)
    assert black.mean() > 0.4 and green.mean() > 0.4 and (black | green).mean() > 0.99


@pytest.mark.parametrize(
    "name",
    ["$x_{", r"$\frac$", "日本語/ビデオ.mp4", "é" * 300, "a\nb\tc", "bad\udcff.mp4", "", "🎬.mp4"],
)
def test_any_name_is_drawn_and_printed(tmp_path, name):
    rows = [(Video(name, name, frame=frame()), [Video(name, name + "x", 0.5, frame())])]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        retrieval_picture(tmp_path / "picture.png", rows)
    lines = retrieval_table(rows)
    assert len(lines) == 2 and all(line.encode("utf-8").decode().isprintable() for line in lines)


def test_long_names_keep_their_ends():
    from vie_tf.printable import short

    name = short("class/" + "x" * 100 + "_0042.mp4", 28)
    assert len(name) == 28 and name.startswith("class/") and name.endswith("_0042.mp4")
    assert short("short.mp4", 28) == "short.mp4"


def test_sizes_and_row_lengths_may_differ(tmp_path):
    query = Video("q", frame=frame(400, 50))
    rows = [(query, [Video("a", "", 0.1, frame(1, 1))]), row(["run"] * 3)]
    retrieval_picture(tmp_path / "picture.png", rows)
    assert pixels(tmp_path / "picture.png").shape[0] < 1000


def test_nothing_to_draw(tmp_path):
    with pytest.raises(InputError, match="no query"):
        retrieval_picture(tmp_path / "picture.png", [])
