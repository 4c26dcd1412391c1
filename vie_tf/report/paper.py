"""The tables of Zhuang et al., CVPR 2020: their numbers (paper.csv), and which results fill them.

A result fills a cell only if its run matches the cell: family, loss, depth, image size, data and
split for training and evaluation. Training length and number of test videos are given below the
table.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterator
from pathlib import Path

from vie_tf.errors import InputError
from vie_tf.report.findings import Finding, fold, place
from vie_tf.report.names import BASELINES, NETWORKS, data_set, model
from vie_tf.runs import workdir

TITLES = {
    "1": "Linear read-outs",
    "2": "Fine-tuning",
    "3": "Less data, and videos in pieces",
    "4": "VIE-Single on the frames of the others",
    "5": "Networks supervised on Kinetics, read out on ImageNet",
}
_AUGMENTATIONS = {"multi_scale": "Multi-scale", "colour_noise": "Color-noise"}
# The paper quotes the baselines from elsewhere: the rows beside which ours are shown.
QUOTED = {
    "ResNet18, OPN": "AlexNet, OPN",
    "3DResNet, 3DRotNet": "3DResNet, 3DRotNet (RGB)",
}
# A cell whose number is garbled in the paper's text.
UNREADABLE = ("SlowFast, Scratch", "Color-noise HMDB51")


@functools.cache
def numbers() -> dict[str, dict[str, dict[str, str]]]:
    """Returns the paper's top-1 accuracies in percent, as printed: table -> row -> column."""
    tables: dict[str, dict[str, dict[str, str]]] = {}
    with (Path(__file__).parent / "paper.csv").open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            table = tables.setdefault(line["table"], {})
            table.setdefault(line["row"], {})[line["column"]] = line["top1"]
    return tables


def cells(found: Finding) -> Iterator[tuple[str, str, str, str]]:
    """Yields the cells of the paper's tables that a result fills.

    Yields:
        Table, row, column, and which of the result's measures (`findings.measures`) goes there.
    """
    values = found.values
    if found.fold:
        return
    if found.kind in ("finetune", "supervised"):
        data = data_set(values["data"], len(found.data.get("label_names", [])))
        yield from _fine_tuned(found, data) if found.kind == "finetune" else _twins(found, data)
    elif found.kind == "readout" and not values.get("cached"):
        data = data_set(values["data"], values.get("classes"))
        name = model(found)
        if data in ("Kinetics", "ImageNet") and (name == "Random" or _both_streams(found)):
            name = name.replace("Supervised-Slowfast", "Supervised-SlowFast")
            yield from _read_out(name, data, values["taps"])


def _read_out(name: str, data: str, taps: dict) -> Iterator[tuple[str, str, str, str]]:
    for layer in ("conv3", "conv4", "conv5"):
        for table, rows in numbers().items():
            # The authors average the last map of their supervised networks, except the TRN's.
            averaged = table == "5" and layer == "conv5" and name != "Supervised-TRN"
            tap = f"{layer}-avg" if averaged else layer
            column = f"{data} {layer.capitalize()}"
            if tap in taps and column in rows.get(name, {}):
                yield table, name, column, tap


def _fine_tuned(found: Finding, data: str) -> Iterator[tuple[str, str, str, str]]:
    row, start = model(found), found.values.get("start")
    folders = (found.run.get("start_from"), found.run.get("second_workdir"))
    if start != "scratch":
        for family, folder in zip(found.run["family"].split("+"), folders):
            if not _is(folder, found, _started(start, family)):
                return
    if row in QUOTED:
        row, column = QUOTED[row], data
    else:
        column = f"{_AUGMENTATIONS.get(found.values.get('augmentation'))} {data}"
    if column in numbers()["2"].get(row, {}) or (row, column) == UNREADABLE:
        yield "2", row, column, "top-1"


def _started(start: str, family: str) -> str:
    """Returns the name of the paper's network that fine-tuning of a family starts from."""
    if start in BASELINES:
        return BASELINES[start][0]
    return f"{'Supervised' if start == 'supervised' else 'VIE'}-{NETWORKS.get(family)}"


def _twins(found: Finding, data: str) -> Iterator[tuple[str, str, str, str]]:
    twin = model(found).removeprefix("Supervised-")
    for row in (f"VIE-{twin}", f"VIE-{twin} (IR)"):
        if data == "Kinetics" and "Super." in numbers()["1"].get(row, {}):
            yield "1", row, "Super.", "top-1"


def _both_streams(found: Finding) -> bool:
    """Returns whether the network read out, and any second one, were trained as the paper's."""
    second = found.values.get("second_workdir")
    beside = not second or _is(second, found, f"VIE-{NETWORKS.get(found.second)}")
    return _as_the_papers(found) and beside


def _is(named: str | None, by: Finding, name: str) -> bool:
    """Returns whether the run that another one names is the paper's `name`; False if it is gone."""
    if not named:
        return False
    folder = place(named, by.folder)
    try:
        found = Finding(folder, workdir.read_flags(folder), workdir.read_data(folder), "", {})
    except InputError:
        return False
    return model(found) == name and _as_the_papers(found)


def _as_the_papers(found: Finding) -> bool:
    """Returns whether a run was trained on Kinetics, from scratch or from the paper's VIE-Single.

    This is read from flags.txt and data.json; an imported run counts as such.
    """
    run, data = found.run, found.data
    where, classes = str(data.get("data", "")), len(data.get("label_names", [])) or None
    known = where.startswith("the imported checkpoint") or data_set(where, classes) == "Kinetics"
    known = known and not fold(run["split_column"])
    return known and (not run.get("start_from") or _is(run["start_from"], found, "VIE-Single"))
