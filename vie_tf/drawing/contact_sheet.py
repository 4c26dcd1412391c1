"""Draws what training sees of the videos: plain clips above augmented ones."""

from __future__ import annotations

from matplotlib.figure import Figure

from vie_tf.data.look import ACROSS, Look
from vie_tf.drawing.png import DPI, save
from vie_tf.printable import short


def contact_sheet(path: str, looks: list[Look]) -> None:
    """Draws videos below each other, each with a strip of plain and one of augmented frames.

    Each video's id, label and length are above it, as is each frame's number. Clips of few frames
    are side by side.

    Args:
        path: the PNG to write.
        looks: at least one, all of clips of T frames.
    """
    frames = len(looks[0].plain.frames)
    across = min(max(1, ACROSS // frames), len(looks))
    down = -(-len(looks) // across)
    cell = min(1.4, 16 / frames)  # inches
    margin, gap, title, number = 0.3, 0.06, 0.42, 0.18
    block = (frames * (cell + gap) + 2 * gap, title + 2 * (number + cell) + 0.15)
    # A title needs room for about three words, however short the clip.
    width = max(margin + across * block[0] + gap, 2.6)
    height = down * block[1] + gap
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")

    def write(text: str, x: float, y: float, size: int, color: str = "#202020", **options) -> None:
        # A $ in a file name is literal.
        place = (x / width, 1 - y / height)
        figure.text(*place, text, fontsize=size, color=color, parse_math=False, **options)

    for place, look in enumerate(looks):
        left = margin + place % across * block[0]
        top = gap + place // across * block[1]
        letters = int((width - left if across == 1 else block[0]) * DPI / 7.8)
        write(short(look.id, letters), left, top + 0.15, 8, fontweight="bold")
        about = f"{look.label}, " if look.label else ""
        write(short(f"{about}{look.length} frames", letters), left, top + 0.31, 8)
        for strip, (name, clip) in enumerate(
            (("plain", look.plain), ("augmented", look.augmented))
        ):
            y = top + title + strip * (number + cell) + number
            if place % across == 0:
                options = {"rotation": 90, "ha": "center", "va": "center"}
                write(name, margin / 2, y + cell / 2, 8, "#606060", **options)
            for column, (pixels, frame) in enumerate(zip(clip.pixels, clip.frames)):
                x = left + column * (cell + gap)
                write(str(frame), x + cell / 2, y - 0.03, 7, "#606060", ha="center")
                box = (x / width, 1 - (y + cell) / height, cell / width, cell / height)
                axes = figure.add_axes(box)
                # Tiny frames are not smoothed.
                tiny = len(pixels) <= cell * DPI / 2
                axes.imshow(pixels, interpolation="nearest" if tiny else "antialiased")
                axes.set_axis_off()
    save(figure, path)
