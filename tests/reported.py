"""Folders of runs as training and evaluations leave them, without their networks."""

from words import parse

from vie_tf.commands.flags import FLAGS, settings
from vie_tf.models.families import family_of
from vie_tf.report import findings, tables
from vie_tf.runs import results, workdir

VIE = ("--family=single", "--loss=vie")
TOP_5 = {"top5": 1.0, "top5_low": 0.9, "top5_high": 1.0}


def run_of(folder, data, *words, classes=400, **more):
    """The folder of a run that was trained on some data, and that of them."""
    folder.mkdir(parents=True)
    parse("--data=x", f"--workdir={folder}", *words)
    if FLAGS.image_size is None:
        FLAGS.image_size = family_of(FLAGS.family).image_size
    names = [str(n) for n in range(classes)]
    known = {"data": data, "videos": 9, "fingerprint": f"of {data}", "label_names": names, **more}
    workdir.write_run(folder, settings(), known)
    return folder


def read_out(folder, data, classes=400, cached=False, more=(), **accuracies):
    """What read-outs of a run's taps found."""
    taps = {
        name: {"top1": x, "top1_low": x - 0.01, "top1_high": x + 0.01, **TOP_5}
        for name, x in accuracies.items()
    }
    values = {
        "data": str(data),
        "fingerprint": str(data),
        "label_column": "label",
        "split_column": "split",
        "step": 7,
        "cached": cached,
        "videos": 19,
    }
    results.append(folder, "readout", {**values, "classes": classes, "taps": taps, **dict(more)})


def fine_tuned(run, data, start, augmentation, classes, *words, start_from=None, **found):
    """What a run found that was fine-tuned.

    `start` is 'scratch' or the loss of the run that it starts from, which lies beside it under the
    name `start_from`, or the loss's.
    """
    words = ("--loss=supervised", "--mode=finetune", *words)
    if start != "scratch":
        words += (f"--start_from={run.parent / (start_from or start)}",)
    run_of(run, data, *words, f"--augmentation={augmentation}", classes=classes)
    columns = {"label_column": "label", "split_column": "split"}
    values = {"data": data, "fingerprint": data, **columns, "start": start, **TOP_5}
    results.append(run, "finetune", {**values, "augmentation": augmentation, **found})


def filled(papers):
    """The paper's cells that are filled: (table, row, column) -> our values."""
    return {
        (table, row, column): found.values
        for table, rows in papers.items()
        for row, columns in rows.items()
        for column, found in columns.items()
        if not column.endswith("top 5")
    }


def report(folder):
    """The paper's tables and the others of what is in a folder."""
    papers, rest = tables.in_the_paper(findings.latest(findings.gather([str(folder)])))
    return papers, tables.others(rest)


def rows(plain):
    """Of all other tables: row -> column -> values."""
    return {
        row: {column: found.values for column, found in columns.items()}
        for table in plain.values()
        for row, columns in table.items()
    }
