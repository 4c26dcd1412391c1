"""The tables of Zhuang et al., CVPR 2020: their numbers (paper.csv), and which results fill them.

A result fills a cell only where its run is that of the cell: family, loss, depth, image size, data
trained on and evaluated. How long it was trained, and tested on how many videos, is said below.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Iterator
from pathlib import Path

from vie_tf import workdir
from vie_tf.errors import InputError
from vie_tf.models.families import FAMILIES
from vie_tf.report.findings import Finding

TITLES = {
    "1": "Linear read-outs",
    "2": "Fine-tuning",
    "3": "Less data, and videos in pieces",
    "4": "VIE-Single on the frames of the others",
    "5": "Networks supervised on Kinetics, read out on ImageNet",
}
# As a folder's or file's name has it, and the number of classes.
DATA = {
    "Kinetics": ("kinetics|k400", 400),
    "ImageNet": ("imagenet|ilsvrc", 1000),
    "UCF101": ("ucf", 101),
    "HMDB51": ("hmdb", 51),
}
_NAMES = {"single": "Single", "resnet3d": "3DResNet", "trn": "TRN", "slow": "Slow"}
_NAMES["slowfast"] = "Slowfast"
_STREAMS = {"slow": "S", "slowfast": "SF"}
_BINS = {130: "2bin", 52: "5bin"}
_STARTS = {"scratch": "Scratch", "vie": "VIE", "ir": "VIE (IR)", "supervised": "Supervised"}
_AUGMENTATIONS = {"multi_scale": "Multi-scale", "colour_noise": "Color-noise"}


@functools.cache
def numbers() -> dict[str, dict[str, dict[str, str]]]:
    """The paper's top-1 accuracies in percent, as printed: table -> row -> column."""
    tables: dict[str, dict[str, dict[str, str]]] = {}
    with (Path(__file__).parent / "paper.csv").open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            table = tables.setdefault(line["table"], {})
            table.setdefault(line["row"], {})[line["column"]] = line["top1"]
    return tables


def model(found: Finding) -> str:
    """A network's name, the paper's where it has one; how it departs from the paper's is added."""
    run, frames_of = found.run, found.values.get("frames_of")
    family = run["family"].split("+")[0]
    name = _NAMES.get(family, family)
    stream = f"VIE-TwoStream-{_STREAMS.get(found.second, found.second)}"
    fine_tuned = run.get("mode") == "finetune"
    if fine_tuned:
        name = {"Single": "ResNet18", "Slowfast": "SlowFast"}.get(name, name)
        start = str(found.values.get("start"))
        name = f"{stream if found.second else name}, {_STARTS.get(start, start)}"
    elif run["loss"] == "supervised":
        name = f"Supervised-{name}"
    elif run.get("steps") == "0":
        name = "Random" if family == "single" else f"Random-{name}"
    elif found.second:
        name = stream
    elif frames_of:
        name = f"{_NAMES.get(frames_of, frames_of).replace('Slowfast', 'Sf')}-Input-Single"
    else:
        name = f"VIE-{name}"
    if (share := float(run.get("subset", 1))) < 1:
        name = f"{100 * share:g}%-{name}"
    if bins := int(run.get("bin_frames", 0)):
        name = f"{_BINS.get(bins, f'{bins}-frame-bin')}-{name}"
    if run["loss"] in ("ir", "la") and run.get("steps") != "0":
        name += f" ({run['loss'].upper()})"
    kind = FAMILIES.get(found.second or family)
    usual = {"depth": "18", "image_size": str(kind.image_size) if kind else "", "flip": "True"}
    if not fine_tuned:
        usual["augmentation"] = "colour_noise"
    if not frames_of:
        usual["frame_interval"] = ""
    for flag, value in usual.items():
        if run.get(flag, value) not in (value, "None"):
            name += f" --{flag}={run[flag]}"
    return name


def data_set(path: str, classes: int | None) -> str:
    """Which of the paper's data sets this is by its name and number of classes; '' for none."""
    for name, (pattern, number) in DATA.items():
        if re.search(pattern, path.lower()) and classes in (None, number):
            return name
    return ""


def cells(found: Finding) -> Iterator[tuple[str, str, str, dict[str, float]]]:
    """The cells of the paper's tables that a result fills.

    Yields:
        Table, row, column, and `top1` with its interval `top1_low` and `top1_high`, 0 to 1.
    """
    values = found.values
    if found.kind in ("finetune", "supervised"):
        data = data_set(values["data"], len(found.data.get("label_names", [])))
        yield from _fine_tuned(found, data) if found.kind == "finetune" else _twins(found, data)
    elif found.kind == "readout" and not values.get("cached"):
        data = data_set(values["data"], values.get("classes"))
        name = model(found)
        if data in ("Kinetics", "ImageNet") and (name == "Random" or _of_kinetics(found.data)):
            name = name.replace("Supervised-Slowfast", "Supervised-SlowFast")
            yield from _read_out(name, data, values["taps"])


def _read_out(name: str, data: str, taps: dict) -> Iterator[tuple[str, str, str, dict]]:
    for tap in ("conv3", "conv4", "conv5"):
        for table, rows in numbers().items():
            column = f"{data} {tap.capitalize()}"
            # The authors average the last map of their supervised networks.
            seen = taps.get("conv5-avg") if table == "5" and tap == "conv5" else None
            seen = seen or taps.get(tap)
            if seen and column in rows.get(name, {}):
                yield table, name, column, seen


def _fine_tuned(found: Finding, data: str) -> Iterator[tuple[str, str, str, dict]]:
    row = model(found)
    column = f"{_AUGMENTATIONS.get(found.values.get('augmentation'))} {data}"
    if found.values.get("start") != "scratch":
        try:
            if not _of_kinetics(workdir.read_data(Path(found.run.get("start_from", "")))):
                return
        except InputError:  # it is gone, so nobody knows
            return
    if column in numbers()["2"].get(row, {}) or (row, column) == UNREADABLE:
        yield "2", row, column, found.values


# A number that is garbled in the paper's text.
UNREADABLE = ("SlowFast, Scratch", "Color-noise HMDB51")


def _twins(found: Finding, data: str) -> Iterator[tuple[str, str, str, dict]]:
    twin = model(found).removeprefix("Supervised-")
    for row in (f"VIE-{twin}", f"VIE-{twin} (IR)"):
        if data == "Kinetics" and found.values.get("start", "scratch") == "scratch":
            if "Super." in numbers()["1"].get(row, {}):
                yield "1", row, "Super.", found.values


def _of_kinetics(data: dict) -> bool:
    """Whether a run was trained on Kinetics, by its data.json; an imported one was, by its code."""
    where = str(data.get("data", ""))
    return where.startswith("the imported checkpoint") or data_set(where, None) == "Kinetics"
