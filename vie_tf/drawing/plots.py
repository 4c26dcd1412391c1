"""Learning curves from a run's metrics.jsonl, and pictures of many runs' results."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter

from vie_tf.errors import InputError

# Colours of Okabe and Ito, which colour-blind readers can distinguish.
_VALUE, _LOSS, _SPEED = "#0072b2", "#d55e00", "#00795c"
# Metric, title, colour, text of one value; drawn in this order, if the file has them.
_PANELS = (
    ("recall_at_1", "recall at 1", _VALUE, "{:.3f}"),
    ("knn_top1", "k-NN accuracy", _VALUE, "{:.3f}"),
    ("top1", "top-1 accuracy", _VALUE, "{:.3f}"),
    ("effective_dimension", "effective dimension", _VALUE, "{:.1f}"),
    ("loss", "loss", _LOSS, "{:.2f}"),
    ("accuracy", "accuracy in training", _LOSS, "{:.2f}"),
    ("close", "close among background", _LOSS, "{:.0%}"),
    ("learning_rate", "learning rate", _LOSS, "{:.2g}"),
    ("clips_per_second", "clips per second", _SPEED, "{:.0f}"),
    ("data_wait", "time waiting for data", _SPEED, "{:.0%}"),
)
_EVALUATED = ("recall_at_1", "knn_top1", "top1", "effective_dimension")


def learning_curves(metrics_jsonl_path: str, png_path: str) -> None:
    """Draws one panel for each metric that the file has.

    For evaluated metrics, the value of the untrained network (step 0) is a dashed line; the last
    value (of the running mean, if one is drawn) is beside the title. If a step was written twice,
    as when a run is killed and resumed from a checkpoint, the last entry counts.

    Args:
        metrics_jsonl_path: a JSON object per line, with 'step' and some of loss, accuracy,
          learning_rate, close (0 to 1), clips_per_second, data_wait (0 to 1), knn_top1,
          recall_at_1, effective_dimension.
        png_path: the picture to write.

    Raises:
        InputError: there is no such file, or it has no metric.
    """
    metrics = _read(pathlib.Path(metrics_jsonl_path))
    panels = [panel for panel in _PANELS if metrics[panel[0]]]
    if not panels:
        raise InputError(f"plot: {metrics_jsonl_path} has no metrics yet; train some steps first")
    rows = math.ceil(len(panels) / 4)
    columns = math.ceil(len(panels) / rows)
    figure = Figure(figsize=(3 * columns, 2.3 * rows), dpi=120, facecolor="white")
    _spread(figure, rows, columns)
    end = max(max(metrics[name]) for name, *_ in panels)
    for place, (name, title, color, text) in enumerate(panels, 1):
        axes = figure.add_subplot(rows, columns, place)
        steps, values = (np.array(part) for part in zip(*sorted(metrics[name].items())))
        last = _draw(axes, steps, values, color, smooth=name not in ("learning_rate", *_EVALUATED))
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_title(text.format(last), loc="right", fontsize=10, color=color, fontweight="bold")
        if name in _EVALUATED and steps[0] == 0:
            axes.axhline(values[0], color="#707070", linestyle="--", linewidth=1)
            top = values[0] == values.max()  # then there is room below the line only
            axes.annotate(
                f"untrained {text.format(values[0])}",
                (1, values[0]),
                (-2, -3 if top else 3),
                axes.get_yaxis_transform(),
                "offset points",
                ha="right",
                va="top" if top else "bottom",
                fontsize=8,
                color="#505050",
            )
        axes.set_xlim(0, max(end, 1) * 1.02)
        axes.set_xlabel("step", fontsize=8)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        if name == "data_wait":
            axes.set_ylim(0, 1)
            axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        elif name == "clips_per_second":
            axes.set_ylim(bottom=0)
        _style(axes)
    figure.savefig(pathlib.Path(png_path), format="png")


def _spread(figure: Figure, rows: int, columns: int) -> None:
    """Leaves room for labels between panels. A layout engine takes as long as the drawing."""
    width, height = figure.get_size_inches()
    left, right, bottom, top, beside, below = 0.55, 0.15, 0.42, 0.3, 0.62, 0.72  # in inches
    wide = (width - left - right - (columns - 1) * beside) / columns
    high = (height - bottom - top - (rows - 1) * below) / rows
    figure.subplots_adjust(
        left / width,
        bottom / height,
        1 - right / width,
        1 - top / height,
        beside / wide,
        below / high,
    )


def by_layer(png_path: str, panels: dict[str, dict[str, dict[str, Sequence[float]]]]) -> None:
    """Draws the accuracy of read-outs by layer: a mark for each run, a line for their mean.

    Args:
        png_path: the picture to write.
        panels: title -> network -> layer, in order -> accuracy of each run, 0 to 1.
    """
    figure, places = _panels(panels, 4.2, 3.4)
    for axes, (title, networks) in zip(places, panels.items()):
        layers = list(dict.fromkeys(layer for found in networks.values() for layer in found))
        for number, (network, found) in enumerate(networks.items()):
            x = [layers.index(layer) for layer in found]
            means = [np.mean(values) for values in found.values()]
            axes.plot(x, means, color=f"C{number % 10}", label=network)
            for place, values in zip(x, found.values()):
                axes.plot(
                    [place] * len(values),
                    values,
                    "o",
                    color=f"C{number % 10}",
                    markersize=4,
                    clip_on=False,
                )
        axes.set_xticks(range(len(layers)), layers)
        axes.set_ylim(0, None)
        _titled(axes, title, axes.yaxis)
        axes.legend(fontsize=7, frameon=False)
    figure.savefig(pathlib.Path(png_path), format="png")


def by_network(png_path: str, panels: dict[str, dict[str, Sequence[float]]]) -> None:
    """Draws the accuracy of networks: a mark for each run, a dash for their mean.

    Args:
        png_path: the picture to write.
        panels: title -> network -> accuracy of each run, 0 to 1.
    """
    most = max(map(len, panels.values()))
    longest = max(len(network) for networks in panels.values() for network in networks)
    figure, places = _panels(panels, 4 + 0.07 * longest, 1 + 0.3 * most)
    for axes, (title, networks) in zip(places, panels.items()):
        for row, values in enumerate(networks.values()):
            axes.plot(values, [row] * len(values), "o", color=_VALUE, markersize=4, alpha=0.6)
            axes.plot(np.mean(values), row, "|", color=_LOSS, markersize=14)
        axes.set_yticks(range(len(networks)), networks)
        axes.set_ylim(len(networks) - 0.5, -0.5)
        axes.set_xlim(0, None)
        _titled(axes, title, axes.xaxis)
    figure.savefig(pathlib.Path(png_path), format="png")


def by_step(png_path: str, panels: dict[str, dict[str, Sequence[dict[int, float]]]]) -> None:
    """Draws accuracy against the training step, a line for each run.

    Args:
        png_path: the picture to write.
        panels: title -> network -> for each run, step -> accuracy, 0 to 1.
    """
    figure, places = _panels(panels, 4.2, 3.4)
    for axes, (title, networks) in zip(places, panels.items()):
        for number, (network, runs) in enumerate(networks.items()):
            for points, label in zip(runs, [network, *[None] * len(runs)]):
                line = zip(*sorted(points.items()))
                axes.plot(*line, color=f"C{number % 10}", marker="o", markersize=3, label=label)
        axes.set_xlim(0, None)
        axes.set_ylim(0, None)
        axes.set_xlabel("step", fontsize=8)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        _titled(axes, title, axes.yaxis)
        # Below, since the lines may lie anywhere.
        axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.16))
    figure.savefig(pathlib.Path(png_path), format="png")


def accuracy_curves(metrics_jsonl_path: str) -> dict[str, dict[int, float]]:
    """Returns the accuracies that a run measured during training: title -> step -> value."""
    metrics = _read(pathlib.Path(metrics_jsonl_path))
    titles = {name: title for name, title, *_ in _PANELS if name in ("knn_top1", "top1")}
    return {title: metrics[name] for name, title in titles.items() if metrics[name]}


def _panels(panels: dict, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Makes a figure with axes for each panel, two per row, wide enough for titles and legends."""
    texts = [text for title, names in panels.items() for text in (*_lines(title), *names)]
    width = max(width, 1.2 + 0.075 * max(map(len, texts)))  # inches
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    size = (width * columns, height * rows)
    figure = Figure(figsize=size, dpi=120, facecolor="white", layout="constrained")
    return figure, [figure.add_subplot(rows, columns, n + 1) for n in range(len(panels))]


def _lines(title: str) -> list[str]:
    """Splits a title into lines, with the flags at its end on their own line."""
    name, comma, flags = title.partition(", --")
    return [name, f"--{flags}"] if comma else [name]


def _titled(axes: Axes, title: str, shares: Axis) -> None:
    axes.set_title("\n".join(_lines(title)), loc="left", fontsize=9, parse_math=False)
    shares.set_major_formatter(PercentFormatter(1, decimals=0))
    _style(axes)


def _style(axes: Axes) -> None:
    axes.tick_params(labelsize=8, color="#a0a0a0")
    axes.grid(color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#a0a0a0")


def _draw(axes: Axes, steps: np.ndarray, values: np.ndarray, color: str, smooth: bool) -> float:
    """Draws a curve, a long noisy one pale under its running mean; returns the last value."""
    window = len(values) // 40
    if smooth and window > 1:
        axes.plot(steps, values, color=color, linewidth=0.8, alpha=0.3)
        # Each point becomes the mean of the window that ends there, shorter at the beginning.
        sums = np.concatenate([[0], np.cumsum(values)])
        last = np.arange(1, len(values) + 1)
        first = np.maximum(last - window, 0)
        values = (sums[last] - sums[first]) / (last - first)
    axes.plot(steps, values, color=color, linewidth=1.6)
    axes.plot(steps[-1], values[-1], "o", color=color, markersize=4, clip_on=False)
    return values[-1]


def _read(path: pathlib.Path) -> dict[str, dict[int, float]]:
    """Reads metric -> step -> value; leaves out values that are not finite."""
    if not path.is_file():
        raise InputError(f"plot: there is no {path}; give the workdir of a run that has trained")
    metrics = {name: {} for name, *_ in _PANELS}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:  # half a line, from a run that was killed while writing it
                continue
            for name, values in metrics.items():
                value = record.get(name)
                if isinstance(value, (int, float)) and math.isfinite(value):
                    values[record["step"]] = value
    return metrics
