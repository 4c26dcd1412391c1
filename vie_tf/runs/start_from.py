"""Starts a run from the weights of another run."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from vie_tf.errors import InputError
from vie_tf.keras2 import keras
from vie_tf.models import families
from vie_tf.runs import trained, workdir
from vie_tf.settings import Settings


def inherited(settings: Settings, given: Collection[str], folder: Path) -> Settings:
    """Takes network settings that were not given from the run that training starts from.

    A resumed run has them itself: the run that it started from may be gone.

    Args:
        settings: as they were given.
        given: names of those that were.
        folder: of the new run.

    Raises:
        InputError: there is no such run, or two that do not make two streams.
    """
    start = settings.start
    if not start.start_from:
        return settings
    first = Path(start.start_from)
    run = workdir.read_settings(folder if (folder / "flags.txt").exists() else first)
    family = run.network.family
    if start.second_workdir and "+" not in family:
        second = workdir.read_settings(Path(start.second_workdir))
        if family != "single":
            raise InputError(f"{first} holds a network of the family {family}, not single")
        if families.sampling_of(second.network.family).frames == 1:
            raise InputError(
                f"--second_workdir={start.second_workdir} holds a network of single frames too"
            )
        family = f"single+{second.network.family}"
        if "family" in given and settings.network.family != family:
            raise InputError(
                f"--family={settings.network.family}: the runs make {family}; leave it out"
            )
        run = second
    if "family" not in given:
        settings = settings.but(family=family)
    theirs = run.values()
    for name in ("depth", "image_size", "frame_interval"):
        ours = settings.network.family == family or name != "frame_interval"
        if theirs[name] and ours and name not in given:
            settings = settings.but(**{name: theirs[name]})
    return settings


def load_weights(network: keras.Model, folders: list[Path]) -> dict[str, object]:
    """Loads the weights of other runs' networks into a network, by name, and reports it.

    All layers but the heads must be found: no other part may start at random. A layer `logits` is
    always new, since its classes are.

    Args:
        network: its weights are overwritten.
        folders: of the runs, one, or one for each stream.

    Returns:
        The entries for data.json: `start`, the runs' losses, and `start_step`.

    Raises:
        InputError: the runs' networks have other layers.
    """
    targets, sources, runs = streams(network), [], [workdir.read_flags(path) for path in folders]
    for path in folders:
        theirs, step = trained.read_network(path)
        sources += streams(theirs)
    where = " and ".join(map(str, folders))
    if len(targets) != len(sources):
        raise InputError(
            f"--start_from={where}: {len(sources)} networks for the {len(targets)} of "
            f"{network.name}; give a run of each, the second as --second_workdir"
        )
    new, count = set(), 0
    for target, source in zip(targets, sources):
        theirs = dict(named_weights(source))
        taken = {}
        for (layer, name), weight in named_weights(target):
            found = theirs.get((layer, name))
            if found is not None and found.shape == weight.shape and layer != "logits":
                taken[layer, name] = weight
            else:
                new.add(layer)
        lacking = sorted(name for name in new if not is_head(target, name))
        if lacking:
            raise InputError(
                f"--start_from={where} is a network of {source.name}, and {len(lacking)} layers of "
                f"{target.name}, such as {lacking[0]}, do not fit: give a run of that family and "
                "--depth"
            )
        for key, weight in taken.items():
            weight.assign(theirs[key].numpy())
        count += len(taken)
    new |= {"logits"} & {layer.name for layer in network.layers}
    losses = "+".join(dict.fromkeys(run["loss"] for run in runs))
    but = f"; new: {', '.join(sorted(new))}" if new else ""
    print(f"starts from {where} ({losses}, step {step}), {count} weights{but}")
    return {"start": losses, "start_step": step}


def streams(network: keras.Model) -> list[keras.Model]:
    """Returns the networks that a two-stream network is made of, Single first; else the network."""
    inner = [layer for layer in network.layers if isinstance(layer, keras.Model)]
    if not inner:
        return [network]
    found = [part for model in inner for part in streams(model)]
    return sorted(found, key=lambda part: part.name != "single")


def named_weights(network: keras.Model):
    """Yields each weight and moving statistic, after the names of its layer and of itself."""
    for layer in network.layers:
        for weight in layer.weights:
            yield (layer.name, weight.name.split("/")[-1]), weight


def is_head(network: keras.Model, name: str) -> bool:
    """Returns whether a layer is on top of the feature maps."""
    return isinstance(network.get_layer(name), keras.layers.Dense)
