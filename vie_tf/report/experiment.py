"""What identifies an experiment: everything but the seeds."""

from __future__ import annotations

from pathlib import Path

from vie_tf.data.augmentation import AUGMENTATIONS
from vie_tf.errors import InputError
from vie_tf.objectives.registry import OBJECTIVES
from vie_tf.report.findings import Finding, place, settings
from vie_tf.report.names import model
from vie_tf.runs import workdir
from vie_tf.settings import Settings, text

_ANY = Settings(objective=OBJECTIVES["ir"]())  # for the names of all settings
# Flags that do not distinguish two runs as experiments, or are reported otherwise.
_SAME = {*workdir.FREE, "seed", "start_from", "second_workdir"} - {"steps"}
_TOLD = ("k", "start", "label_column")  # shown by the column, the row's name and the table


def experiment(found: Finding) -> dict[str, str]:
    """Returns how a result was made: two results that agree in it differ only in their seeds.

    The evaluated data are not in it. If the evaluation has a flag that the run has too, the kind of
    evaluation precedes that flag.
    """
    own = _trained(found.run, found.data, found.folder)
    how = {name: value for name, value in settings(found).items() if name not in _TOLD}
    if found.kind in ("finetune", "supervised"):  # their flags are the run's
        how = {name: value for name, value in how.items() if name not in own}
    else:
        how = {f"{found.kind} {name}" if name in own else name: how[name] for name in how}
    del own["steps"]  # it may have been evaluated earlier
    step = {"step": str(found.values.get("step"))}
    beside = _other(found.values.get("second_workdir"), "second", found.folder)
    return {"name": model(found), **own, **step, **how, **beside}


def _trained(run: dict[str, str], data: dict, *folders: Path) -> dict[str, str]:
    """Returns how a run was made, including the runs that it started from.

    Args:
        run: its flags.txt.
        data: its data.json.
        folders: its own, and those of the runs that started from it.
    """
    run = (
        dict.fromkeys(workdir.kept(_ANY), "") | run
    )  # those that have no value are not in flags.txt
    kept = {name: value for name, value in run.items() if name not in _SAME}
    if run["loss"] != "supervised":  # it has not seen the labels
        del kept["label_column"]
    usual = AUGMENTATIONS[run["augmentation"]].colour.strengths
    if run["colour_noise"] == text(usual):  # the augmentation implies it
        kept["colour_noise"] = ""
    kept["trained on"] = str(data.get("fingerprint"))
    kept["start step"] = str(data.get("start_step", 0))
    first = _other(run["start_from"], "start", *folders)
    return {**kept, **first, **_other(run["second_workdir"], "second start", *folders)}


def _other(named: str | None, what: str, *by: Path) -> dict[str, str]:
    """Returns how a run that others name was made (see `findings.place`); its name if gone."""
    if not named:
        return {}
    folder = place(named, *by)
    try:
        run, data = workdir.read_flags(folder), workdir.read_data(folder)
    except InputError:
        return {what: named}
    return {f"{what} {name}": value for name, value in _trained(run, data, folder, *by).items()}
