"""Numbers classes by name, or as the source numbers them."""

from __future__ import annotations

import numpy as np

from vie_tf.errors import InputError

MAX_CLASSES = 1_000_000


def number_labels(
    data: str, names: list[str], indices: list[str] | None
) -> tuple[np.ndarray, list[str]]:
    """Returns label numbers, int64 [N], -1 for '', and the name of each label.

    Args:
        data: where they are from, for messages.
        names: [N], label of each video or ''.
        indices: [N], the column class_index, which numbers the labels; a number that no video has
            keeps its place. None: there is no such column, and labels are sorted by name.

    Raises:
        InputError: a class_index is not a number, or contradicts another.
    """
    label_names = sorted(set(names) - {""})
    if indices is not None:
        known: dict[str, int] = {}
        for name, index in zip(names, indices):
            index = index.strip()
            if not name:
                continue
            if not index.isdecimal() or int(index) >= MAX_CLASSES:
                raise InputError(
                    f"{data}: class_index of the label {name} is {index!r}; give whole numbers "
                    f"from 0 to {MAX_CLASSES - 1}, or leave that column out"
                )
            if known.setdefault(name, int(index)) != int(index):
                raise InputError(
                    f"{data}: the label {name} has the class_index {known[name]} and {index}; "
                    "give it one"
                )
        named = {index: name for name, index in known.items()}
        if len(named) < len(known):
            name = next(name for name, index in known.items() if named[index] != name)
            raise InputError(
                f"{data}: the labels {name} and {named[known[name]]} have the same class_index "
                f"{known[name]}; give each its own"
            )
        label_names = [
            named.get(n, f"class {n} (no video)") for n in range(max(named, default=-1) + 1)
        ]
    number = {name: row for row, name in enumerate(label_names)}
    return np.array([number.get(name, -1) for name in names], np.int64), label_names
