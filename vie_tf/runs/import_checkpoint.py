"""--mode=import_checkpoint: converts a TensorFlow 1 checkpoint of the authors into a run."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import tensorflow as tf

from vie_tf.errors import InputError
from vie_tf.keras2 import keras
from vie_tf.models import families, original
from vie_tf.models.resnet import BLOCKS_PER_STAGE, BOTTLENECK_FROM
from vie_tf.objectives.memory_bank import MemoryBank
from vie_tf.objectives.vie_model import VIE
from vie_tf.runs import workdir
from vie_tf.runs.checkpoints import Checkpoints
from vie_tf.settings import Network, Settings
from vie_tf.training.defaults import complete
from vie_tf.training.optimizer import compile_model

BANK, LABELS, STEP = "instance/memory_bank", "instance/all_labels", "global_step"
CLUSTERS = "instance/cluster_labels"
WEIGHTS = ("kernel", "bias", *original.STATISTICS)
TRAINED = ("/kernel", "/bias", "/gamma", "/beta")
Values = dict[str, np.ndarray]  # a checkpoint's variables by name


def import_checkpoint(
    checkpoint: str, settings: Settings, given: Collection[str], folder: Path
) -> None:
    """Writes a run with the network, bank, labels, momentum and step of a checkpoint.

    Args:
        checkpoint: prefix or folder of the authors' checkpoint.
        settings: as they were given; they describe its network and a loss with a bank.
        given: names of those that were.
        folder: of the run.

    Raises:
        InputError: the checkpoint cannot be read or is of another network than the settings say,
            or the folder already holds a run.
    """
    if (folder / "flags.txt").exists():
        raise InputError(f"{folder} holds a run already: use another --workdir")
    families.family_of(settings.network.family)
    path = prefix(checkpoint)
    values = read(path)
    check_kind(path, values)
    settings = settings.but(steps=int(values[STEP]))
    settings, _ = complete(settings, given, len(values[BANK]))
    model = model_of(path, values, settings)
    saved = Checkpoints(folder / "checkpoints", model, settings.record.keep)
    used = variables(model, values)
    for name, variable in used.items():
        variable.assign(values[name].reshape(variable.shape))
    model.bank.visited.assign(tf.ones_like(model.bank.visited))
    with workdir.held(folder):
        workdir.write_run(folder, settings, identity(path, model.bank, settings.schedule.steps))
        saved.save()
    print(report(path, values, list(used), settings, folder))


def model_of(path: str, values: Values, settings: Settings) -> VIE:
    """Builds the model for a checkpoint's values; transposes the cluster labels to our order.

    Raises:
        InputError: the values are of another network, or of another number of clusterings.
    """
    network, objective = settings.network, settings.objective
    built = families.build(
        network.family,
        settings.clips.image_size,
        depth=network.depth,
        bn_momentum=network.bn_momentum,
    )
    check_network(path, values, built, network)
    legacy = settings.start.legacy
    bank = MemoryBank(*values[BANK].shape, momentum=objective.bank_momentum, legacy=legacy)
    clusters = objective.of_model(bank.size).get("clusters")
    if clusters is not None and CLUSTERS in values:
        if len(values[CLUSTERS]) != len(objective.clusters):
            raise InputError(
                f"{path} has {len(values[CLUSTERS])} clusterings: give --clusters that many numbers"
            )
        values[CLUSTERS] = values[CLUSTERS].T  # [H, N] there
    seed = settings.start.seed
    model = VIE(built, bank, temperature=objective.temperature, seed=seed, clusters=clusters)
    compile_model(model, settings)
    return model


def prefix(given: str) -> str:
    """Returns the prefix of a checkpoint's files, given the prefix itself or their folder.

    Raises:
        InputError: there is no checkpoint.
    """
    path = tf.train.latest_checkpoint(given) if Path(given).is_dir() else given
    if path is None or not Path(f"{path}.index").exists():
        raise InputError(
            f"--checkpoint={given}: no checkpoint there; give what its files' names begin with, "
            "up to .index, or a folder with a file called checkpoint"
        )
    return path


def read(path: str) -> Values:
    """Returns all variables of a checkpoint.

    Raises:
        InputError: it is damaged.
    """
    try:
        reader = tf.train.load_checkpoint(path)
        names = reader.get_variable_to_shape_map()
        return {name: np.asarray(reader.get_tensor(name)) for name in names}
    except (tf.errors.OpError, ValueError, IndexError) as error:
        reason = str(getattr(error, "message", error)).splitlines()[0]
        raise InputError(f"--checkpoint={path} cannot be read: {reason}; is it whole?") from error


def check_kind(path: str, values: Values) -> None:
    """Checks that a checkpoint comes from the pre-training of a single network.

    Raises:
        InputError: it has two streams, or no bank.
    """
    if {"resnet_model", "resnet_model_slow"} <= {name.split("/")[0] for name in weights(values)}:
        raise InputError(
            f"{path} is a two-stream checkpoint: import each stream from its own checkpoint, then "
            "give the second run as --second_workdir"
        )
    lacking = [name for name in (BANK, LABELS, STEP) if name not in values]
    if lacking:
        raise InputError(f"{path} lacks {listed(lacking)}: it is not of a pre-training run")
    if values[BANK].ndim != 2 or values[LABELS].shape != values[BANK].shape[:1]:
        raise InputError(
            f"{path}: {BANK} {list(values[BANK].shape)} and {LABELS} {list(values[LABELS].shape)} "
            "do not go together: it is not of a pre-training run"
        )


def check_network(path: str, values: Values, network: keras.Model, given: Network) -> None:
    """Checks that a checkpoint holds all weights of a network and no others.

    Args:
        path: of the checkpoint.
        values: its content.
        network: the network that was built.
        given: its family and depth.

    Raises:
        InputError: it does not; names the family or depth if it is of another one.
    """
    wrong = differences(values, network)
    width, size = values[BANK].shape[1], network.output_shape["embedding"][-1]
    if not wrong and width != size:
        raise InputError(f"{path}: {BANK} has rows of {width} numbers, and embeddings have {size}")
    if not wrong:
        return
    found = family_and_depth(values, given)
    if found is None:
        missing = [name for name in wrong if name not in values]
        others = [name for name in wrong if name in values]
        said = f"{listed(missing)} missing" if missing else ""
        said += ("; " if missing and others else "") + (
            f"{listed(others)} of another shape, or not in it" if others else ""
        )
        raise InputError(
            f"{path} is a checkpoint of no family here: {said}, held against {given.family}"
        )
    family, depth = found
    if depth == given.depth:
        raise InputError(
            f"{path} is a checkpoint of {family}, not {given.family}: give --family={family}"
        )
    raise InputError(
        f"{path} is a checkpoint of {family} of depth {depth}, not of {given.family} of depth "
        f"{given.depth}: give --family={family} --depth={depth}"
    )


def weights(values: Values) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the network's variables in a checkpoint, without bank, slots, step."""
    return {
        name: value.shape
        for name, value in values.items()
        if name.startswith("resnet_model") and name.split("/")[-1] in WEIGHTS
    }


def differences(values: Values, network: keras.Model) -> list[str]:
    """Returns names, sorted, that only checkpoint or network has, or whose shapes differ."""
    theirs = weights(values)
    ours = {name: tuple(v.shape) for name, v in original.original_names(network).items()}
    return sorted(
        name
        for name in theirs.keys() | ours.keys()
        # A 3D kernel over one frame is a 2D one here.
        if theirs.get(name) not in (ours.get(name), (1, *ours.get(name, (0,))))
    )


def family_and_depth(values: Values, given: Network) -> tuple[str, int] | None:
    """Returns family and depth of a checkpoint's network, or None if it is of no family."""
    depth = depth_of(values)
    if depth is None:
        return None
    built = set()
    for name in sorted(families.FAMILIES, key=lambda name: name != given.family):
        kind = families.family_of(name)
        variables = (kind.network, kind.sampling.frames)  # all that determines them
        if variables in built:
            continue
        built.add(variables)
        if not differences(values, families.build(name, depth=depth)):
            return name, depth
    return None


def depth_of(values: Values) -> int | None:
    """Returns the depth with as many normalisations as one path of the checkpoint's network."""
    scopes = [name.split("/")[0] for name in weights(values) if name.endswith("/gamma")]
    count = max(map(scopes.count, scopes), default=0)
    for depth, blocks in BLOCKS_PER_STAGE.items():
        if count == sum(blocks) * (3 if depth >= BOTTLENECK_FROM else 2) + 1:
            return depth
    return None


def variables(model: VIE, values: Values) -> dict[str, tf.Variable]:
    """Returns the variables of a model and its optimizer, by their names in the checkpoint.

    A momentum slot that the checkpoint lacks is left out and stays zero.
    """
    names = original.original_names(model.network)
    trained = {id(v) for v in model.network.trainable_weights}
    slots = {
        f"{name}/Momentum": model.optimizer.accumulator(variable)
        for name, variable in names.items()
        if id(variable) in trained and f"{name}/Momentum" in values
    }
    rest = {BANK: model.bank.rows, LABELS: model.bank.labels, STEP: model.optimizer.iterations}
    if model.clusters is not None and CLUSTERS in values:
        rest[CLUSTERS] = model.clusters.labels
    return {**names, **slots, **rest}


def identity(path: str, bank: MemoryBank, step: int) -> dict:
    """Returns the run's data.json: only the numbers of its videos and labels are known."""
    return {
        "data": f"the imported checkpoint {path}",
        "videos": bank.size,
        "fingerprint": f"imported at step {step}",
        "label_names": [str(n) for n in range(int(bank.labels.numpy().max()) + 1)],
    }


def report(path: str, values: Values, used: list[str], settings: Settings, folder: Path) -> str:
    """Describes what was imported and what was not, in lines."""
    network, step = settings.network, settings.schedule.steps
    slots = sum(name.endswith("/Momentum") for name in used)
    without = [
        name
        for name in used
        if name.endswith(TRAINED) and name not in (BANK, LABELS) and f"{name}/Momentum" not in used
    ]
    zero = f", missing and so zero: {listed(without)}" if without else ""
    unused = sorted(values.keys() - set(used))
    return "\n".join(
        [
            f"{network.family} of depth {network.depth} from {path}, step {step}",
            f"used: all {len(weights(values))} variables of the network, none is missing; "
            f"{slots} momentum slots{zero}; the bank's {len(values[BANK])} rows and labels; step",
            f"not used: {listed(unused) if unused else 'none'}",
            "not in a checkpoint: the names of the labels (their numbers stand for them), and the "
            f"momentum of batch normalisation ({network.bn_momentum} is written down)",
            f"run: {folder}",
        ]
    )


def listed(names: list[str], most: int = 4) -> str:
    """Returns the first of the names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
