"""Pictures of results: accuracy by layer, by network and against the training step."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vie_tf.drawing import plots
from vie_tf.report.findings import TOP_5, Finding, fold
from vie_tf.report.names import model, without_shared
from vie_tf.report.tables import Table
from vie_tf.report.text import KINDS


def pictures(
    findings: Iterable[Finding], tables: dict[tuple[str, str], Table], out: Path
) -> list[str]:
    """Draws all pictures for which there are results.

    Args:
        findings: whose runs' metrics.jsonl are drawn.
        tables: (data, kind) -> table.
        out: the folder to write to.

    Returns:
        The files' names.
    """
    layers, networks, steps = {}, {}, {}
    for (data, kind), table in tables.items():
        shown = {r: {c: cell.values for c, cell in cells.items()} for r, cells in table.items()}
        if kind == "readout":
            layers[data] = {
                row: {tap: x for tap, x in cells.items() if not tap.endswith(TOP_5)}
                for row, cells in shown.items()
            }
        else:  # the first column is for the nearest or most probable
            first = {row: next(iter(cells.values())) for row, cells in shown.items()}
            networks[f"{KINDS.get(kind, kind)}: {data}"] = first
    for found in {found.folder.resolve(): found for found in findings}.values():
        if not (found.folder / "metrics.jsonl").exists():  # an imported run
            continue
        what = ["/".join(Path(found.data["data"]).parts[-2:])]
        if split := fold(found.run["split_column"]):
            what.append(split)
        if (labels := found.run.get("label_column", "label")) != "label":
            what.append(labels)
        if found.run.get("mode") == "finetune":
            what.append(found.run["augmentation"])
        for title, points in plots.accuracy_curves(str(found.folder / "metrics.jsonl")).items():
            if len(points) > 1:
                panel = steps.setdefault(f"{title} while training: {', '.join(what)}", {})
                panel.setdefault(model(found), []).append(points)
    for title, panel in list(steps.items()):
        shared, short = without_shared(list(panel))
        steps[title + (shared and f",{shared}")] = dict(zip(short, steps.pop(title).values()))
    drawn = []
    for draw, panels in (
        (plots.by_layer, layers),
        (plots.by_network, networks),
        (plots.by_step, steps),
    ):
        if panels:
            drawn.append(f"{draw.__name__}.png")
            draw(str(out / drawn[-1]), panels)
    return drawn
