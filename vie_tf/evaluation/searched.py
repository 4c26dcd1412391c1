"""Gallery and queries of --mode=knn: embeddings made now, a memory bank, or a file."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import tensorflow as tf

from vie_tf.errors import InputError
from vie_tf.evaluation.class_recall import AT, class_recall
from vie_tf.evaluation.embed import video_embeddings
from vie_tf.evaluation.knn import check_neighbours, knn_accuracy
from vie_tf.evaluation.labelled import check_labels, check_splits
from vie_tf.objectives.memory_bank import joined
from vie_tf.objectives.registry import OBJECTIVES
from vie_tf.runs import workdir
from vie_tf.runs.trained import newest_readable


@dataclasses.dataclass(frozen=True)
class Searched:
    """Videos with labels and embeddings.

    Attributes:
        names: str [N], the label of each, '' where unknown.
        clips: N arrays float32 [G, D], unit rows: the embeddings of each video's clips.
    """

    names: np.ndarray
    clips: Sequence[np.ndarray] = ()

    def with_clips(self, clips: Sequence[np.ndarray]) -> Searched:
        """Returns the same videos with their embeddings."""
        return dataclasses.replace(self, clips=clips)


def read_embeddings(path: str, run: str | None) -> tuple[Searched, Searched, dict[str, object]]:
    """Reads training and test videos from a file of --mode=embed, each as one clip.

    Args:
        path: the file.
        run: folder of the run that the embeddings should be from, if any.

    Returns:
        The train split, the test split, and the run's description for results.

    Raises:
        InputError: it is not such a file, or from another run.
    """
    try:
        with np.load(path) as file:
            content = {key: file[key] for key in ("embeddings", "labels", "split", "run")}
        said = json.loads(str(content["run"]))
        clips = content["embeddings"][:, None]
        parts = [content["split"] == split for split in ("train", "test")]
        train, test = (Searched(content["labels"][part], clips[part]) for part in parts)
    except (OSError, EOFError, ValueError, KeyError, IndexError, BadZipFile) as error:
        raise InputError(
            f"--embeddings={path}: not a file of --mode=embed, damaged, or of another version; "
            "make it with --mode=embed"
        ) from error
    if run:
        for name, value in workdir.said_of(Path(run)).items():
            if said.get(name) != value:
                raise InputError(
                    f"--embeddings={path} are of a run with {name} {said.get(name)}, {run} has "
                    f"{value}: give the run that they are of, or no --workdir"
                )
    return train, test, said


def read_bank(folder: str, label_column: str, split_column: str) -> Searched:
    """Reads the visited rows of a run's memory bank from its newest readable checkpoint.

    Args:
        folder: of the run.
        label_column: column of the queries' labels; an imported run has only label numbers.
        split_column: column that separates the queries from the training videos.

    Raises:
        InputError: the run has no bank or no readable checkpoint, or was trained with other
            columns: rows would have other labels, or be of the query videos.
    """
    run, names = workdir.read_flags(Path(folder)), workdir.read_data(Path(folder))
    if not OBJECTIVES[run["loss"]].bank:
        raise InputError(f"--bank: {folder} was trained with --loss={run['loss']}, and has no bank")
    asked = {"label_column": label_column, "split_column": split_column}
    for name, value in asked.items() if run.get("mode") != "import_checkpoint" else ():
        if run.get(name, value) != value:
            raise InputError(
                f"--bank: {folder} was trained with --{name}={run[name]}, not {value}: give that, "
                "or search without --bank"
            )
    legacy = run["legacy"] == "True"

    def load(path: str) -> Searched:
        reader = tf.train.load_checkpoint(path)

        def variable(name: str) -> np.ndarray:
            return reader.get_tensor(f"bank/{name}/.ATTRIBUTES/VARIABLE_VALUE")

        labels = variable("labels").astype(np.int64)
        saved = [name for name in reader.get_variable_to_shape_map() if "bank/parts/" in name]
        parts = [f"parts/{shard}" for shard in range(len(saved))] or ["rows"]
        rows = joined([variable(part) for part in parts], len(labels))
        used = variable("visited").astype(bool) | legacy
        known = np.array([*names.get("label_names", []), ""])
        return Searched(known[labels[used]], rows[used, None])

    return newest_readable(Path(folder) / "checkpoints", load)


def check(source: str, train: Searched, test: Searched, k: int) -> None:
    """Prints notes on the labels.

    Raises:
        InputError: there is no gallery, or there are no queries.
    """
    where = f"--mode=knn: {source}"
    check_splits(train.names, test.names, where)
    classes = (Counter(part.names.tolist()) for part in (train, test))
    notes = check_labels(*classes, where, learned=False)
    check_neighbours(k, train.names != "")
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def measure(train: Searched, test: Searched, k: int, temperature: float) -> dict[str, dict]:
    """Measures `knn` and `retrieval` of the test videos among the training videos, for results.

    In k-NN each clip of a test video votes with its neighbours; retrieval uses the clips' mean as
    the query. A training video is the mean of its clips in both.
    """
    names = sorted((set(train.names.tolist()) | set(test.names.tolist())) - {""})
    number = {name: i for i, name in enumerate(names)} | {"": -1}
    labels, asked = (np.array([number[x] for x in part.names.tolist()]) for part in (train, test))
    rows = video_embeddings(train.clips)
    voted = knn_accuracy(test.clips, asked, rows, labels, len(names), k, temperature)
    classes = {"classes": len(names)}
    return {
        "knn": {**voted, "temperature": temperature, **classes},
        "retrieval": {**class_recall(video_embeddings(test.clips), asked, rows, labels), **classes},
    }


def in_words(found: dict[str, dict]) -> str:
    """Returns the results of `measure`, in two lines."""
    knn, recall = found["knn"], found["retrieval"]
    at = ", ".join(f"{recall[f'class_recall_at_{k}']:.4f}" for k in AT)
    return (
        f"{knn['k']}-NN accuracy of {knn['videos']} videos: {knn['top1']:.4f}, "
        f"95 % interval {knn['top1_low']:.4f} to {knn['top1_high']:.4f}; top 5 {knn['top5']:.4f}\n"
        f"class recall at {', '.join(map(str, AT))}: {at}; mean average precision "
        f"{recall['map']:.4f}"
    )
