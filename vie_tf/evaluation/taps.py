"""Feature maps in the form that the read-outs of the authors' transfer experiments receive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from vie_tf.errors import InputError
from vie_tf.keras2 import keras
from vie_tf.models.resnet import stage_taps

AVERAGED = "-avg"  # after a tap's name: its mean over space
LARGEST = 200_000  # most values of a map that a linear read-out takes without pooling


@dataclass(frozen=True)
class Taps:
    """What read-outs see of a network: turns its outputs into a vector for each tap.

    Attributes:
        outputs: from each tap's name, such as conv5 or conv5-avg, to the network output's name.
        largest: as in `flat`.
    """

    outputs: dict[str, str]
    largest: int | None

    def __call__(self, outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Turns the network's outputs into float32 [B, D] for each tap, with its own D."""
        return {
            name: mean(outputs[output])
            if name.endswith(AVERAGED)
            else flat(outputs[output], self.largest)
            for name, output in self.outputs.items()
        }


def find_taps(network: keras.Model, names: Sequence[str], depth: int) -> Taps:
    """Returns the taps of some names.

    Args:
        network: from `families.build`, `two_stream` or `input_single`.
        names: conv1 to conv5 (the paper's), encode_1 and so on, or embedding; with -avg appended, a
            map is averaged over space, as for the paper's supervised networks (Table 5).
        depth: of the network.

    Raises:
        InputError: there is no such tap, or a name comes twice.
    """
    there = {name: name for name in network.output if name != "logits"}
    there |= {name: tap for name, tap in stage_taps(depth).items() if tap in there}
    for name in names:
        if name.removesuffix(AVERAGED) not in there:
            raise InputError(
                f"--taps: there is no tap {name or 'without a name'}; choose from "
                f"{', '.join(sorted(there, key=_in_order))}, or one of them with {AVERAGED} behind"
            )
    if len(set(names)) < len(names) or not names:
        raise InputError(f"--taps={','.join(names)}: name one or more taps, each of them once")
    outputs = {name: there[name.removesuffix(AVERAGED)] for name in names}
    return Taps(outputs, _largest(network.name))


def _largest(network: str) -> int | None:
    """Returns the authors' bound on a network's maps, by the network's name."""
    if network.startswith(("trn", "relation", "input_single")):
        return None
    return 2 * LARGEST if network == "two_stream" else LARGEST


def _in_order(name: str) -> tuple[str, int]:
    head, _, number = name.rpartition("_")
    return (head, int(number)) if number.isdigit() else ("", 0)


def mean(tap: tf.Tensor) -> tf.Tensor:
    """Averages over space, and time if there is any: [B, (T,) h, w, C] to float32 [B, C]."""
    return tf.reduce_mean(tf.cast(tap, tf.float32), axis=tuple(range(1, len(tap.shape) - 1)))


def flat(tap: tf.Tensor, largest: int | None = LARGEST) -> tf.Tensor:
    """Flattens a clip's map, averaged over time, into one vector.

    Maps that exceed `largest` values are average-pooled, 2x2, or 4x4 if they exceed it four times.

    Args:
        tap: [B, T, h, w, C] or [B, h, w, C]; features [B, C] are not changed.
        largest: 200,000 in the authors' read-outs; 400,000 for maps of two streams, None where
            their frames are averaged (TRN, Input-Single).

    Returns:
        float32 [B, h * w * C], in the authors' order: C, h, w, but h, w, C if pooled.
    """
    maps = tf.cast(tap, tf.float32)
    if len(maps.shape) == 2:
        return maps
    if len(maps.shape) == 5:
        maps = tf.reduce_mean(maps, axis=1)
    values = maps.shape[1] * maps.shape[2] * maps.shape[3]
    if largest is None or values <= largest:
        maps = tf.transpose(maps, [0, 3, 1, 2])
    else:
        size = 4 if values > 4 * largest else 2
        maps = tf.nn.avg_pool2d(maps, size, size, "VALID")
    return tf.reshape(maps, [tf.shape(maps)[0], -1])
