"""Names of networks and data sets in reports: those of the paper, if it has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vie_tf.models.families import FAMILIES
from vie_tf.report.findings import Finding

# Pattern of a folder's name, or a file's without .csv, and the number of classes.
DATA = {
    "Kinetics": (r"kinetics|(kinetics|k)[-_ ]?400", 400),
    "ImageNet": (r"imagenet([-_ ]?(1k|2012))?|ilsvrc([-_ ]?2012)?", 1000),
    "UCF101": (r"ucf([-_ ]?101)?", 101),
    "HMDB51": (r"hmdb([-_ ]?51)?", 51),
}
NETWORKS = {"single": "Single", "resnet3d": "3DResNet", "trn": "TRN", "slow": "Slow"}
NETWORKS["slowfast"] = "Slowfast"
# Objectives other than the paper's: name, own family and that family's augmentation.
BASELINES = {"order": ("OPN", "opn", "opn"), "rotation": ("3DRotNet", "rotnet3d", "rotnet")}
_STREAMS = {"slow": "S", "slowfast": "SF"}
_BINS = {130: "2bin", 52: "5bin"}
_STARTS = {"scratch": "Scratch", "vie": "VIE", "ir": "VIE (IR)", "supervised": "Supervised"}
_STARTS |= {loss: name for loss, (name, *_) in BASELINES.items()}


def data_set(path: str, classes: int | None) -> str:
    """Returns the paper's data set with this name and number of classes; '' for none."""
    called = re.sub(r"\.csv$", "", Path(path).name.lower())
    for name, (pattern, number) in DATA.items():
        if re.fullmatch(pattern, called) and classes in (None, number):
            return name
    return ""


def model(found: Finding) -> str:
    """Returns a network's name, the paper's if it has one, plus how it differs from the paper's."""
    run, loss = found.run, found.run["loss"]
    family = run["family"].split("+")[0]
    fine_tuned = run.get("mode") == "finetune"
    start = found.data.get("start", "scratch")
    untrained = run.get("steps") == "0"
    if fine_tuned:
        name = _fine_tuned(found, family)
    else:
        name = _pretrained(found, family, untrained, start)
    if (share := float(run.get("subset", 1))) < 1:
        name = f"{100 * share:g}%-{name}"
    if bins := int(run.get("bin_frames", 0)):
        name = f"{_BINS.get(bins, f'{bins}-frame-bin')}-{name}"
    # The paper's continues from VIE-Single.
    as_trn = not untrained and (family, loss, start) == ("trn", "la", "vie")
    if loss in ("ir", "la") and not untrained and not as_trn:
        name += f" ({loss.upper()})"
    if start != "scratch" and not fine_tuned and not as_trn:
        name += f", from {_STARTS.get(start, start)}"
    kind = FAMILIES.get(found.second or family)
    usual = {"depth": "18", "image_size": str(kind.image_size) if kind else "", "flip": "True"}
    if not fine_tuned:
        usual["augmentation"] = BASELINES[loss][-1] if loss in BASELINES else "colour_noise"
    if not found.values.get("frames_of"):
        usual["frame_interval"] = ""
    for flag, value in usual.items():
        if run.get(flag, value) not in (value, "None"):
            name += f" --{flag}={run[flag]}"
    return name


def without_shared(rows: Sequence[str]) -> tuple[str, list[str]]:
    """Returns the flags that all rows' names share, and the names without them.

    A single row keeps its name.
    """
    parts = [row.split(" --") for row in rows]
    shared = [flag for flag in parts[0][1:] if all(flag in other for other in parts)]
    if len(parts) == 1 or not shared:
        return "", list(rows)
    left = [" --".join(part for part in own if part not in shared) for own in parts]
    return "".join(f" --{flag}" for flag in shared), left


def _pretrained(found: Finding, family: str, untrained: bool, start: str) -> str:
    loss, frames_of = found.run["loss"], found.values.get("frames_of")
    papers = loss in ("ir", "la", "vie", "supervised")
    whose, own, _ = BASELINES.get(loss, ("VIE" if papers else loss, "", ""))
    if untrained:  # it has learned nothing itself
        whose, own = ("Random", "single") if start == "scratch" else ("", "")
    elif loss == "supervised":
        whose = "Supervised"
    name = NETWORKS.get(family, family)
    if found.second:
        name = f"TwoStream-{_STREAMS.get(found.second, found.second)}"
    elif frames_of:
        name = f"{NETWORKS.get(frames_of, frames_of).replace('Slowfast', 'Sf')}-Input-Single"
        whose = "" if whose == "VIE" else whose
    elif family == own:
        return whose
    return f"{whose}-{name}" if whose else name


def _fine_tuned(found: Finding, family: str) -> str:
    start = str(found.values.get("start", found.data.get("start")))
    name = NETWORKS.get(family, family)
    name = {"Single": "ResNet18", "Slowfast": "SlowFast"}.get(name, name)
    if (family, start) == ("rotnet3d", "rotation"):  # the same network on other frames
        name = "3DResNet"
    if found.second:
        name = f"VIE-TwoStream-{_STREAMS.get(found.second, found.second)}"
    return f"{name}, {_STARTS.get(start, start)}"
