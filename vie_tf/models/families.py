"""Builds networks of any family by name; `python -m vie_tf.models.families` lists them."""

from __future__ import annotations

import dataclasses
import functools
from typing import Callable

import tensorflow as tf

from vie_tf.data.sampling import TEST_CLIPS, HalfSeconds, Offsets, Sampling, Window
from vie_tf.errors import InputError
from vie_tf.keras2 import keras
from vie_tf.models import heads
from vie_tf.models.fast import fast
from vie_tf.models.relation import relation
from vie_tf.models.resnet import BLOCKS_PER_STAGE
from vie_tf.models.resnet3d import resnet3d
from vie_tf.models.single import single
from vie_tf.models.slow import slow
from vie_tf.models.slowfast import slowfast
from vie_tf.models.trn import trn
from vie_tf.models.two_stream import two_stream


@dataclasses.dataclass(frozen=True)
class Family:
    """A kind of network and the clips it is made for.

    Attributes:
        network: maps a clip, `depth` and `bn_momentum` to the taps and the pooled features.
        sampling: which frames make its clips (paper's appendix A).
        image_size: side of a clip in the paper's runs, pixels.
    """

    network: Callable
    sampling: Sampling
    image_size: int


FAMILIES = {
    "single": Family(single, Window(1, loops=False), 224),
    "resnet3d": Family(resnet3d, Window(16), 112),
    "vanilla3d": Family(resnet3d, Window(16, 4), 224),
    "slow": Family(slow, Window(4, 16, loops=False), 224),
    "fast": Family(fast, Window(16, 4), 224),
    "slowfast": Family(slowfast, Window(16, 4), 224),
    "trn": Family(trn, HalfSeconds(4), 224),
    "trn_slow": Family(trn, Window(4, 16, loops=False), 224),
    "trn_slowfast": Family(trn, Window(16, 4), 224),
    "relation": Family(relation, HalfSeconds(8), 224),
    "relation_mean": Family(functools.partial(relation, mean=True), HalfSeconds(8), 224),
    "relation4": Family(relation, HalfSeconds(4), 224),
    "relation4_mean": Family(functools.partial(relation, mean=True), HalfSeconds(4), 224),
    # Four frames spread over 9 or 15; 16 frames per second from videos at 25.
    "opn": Family(trn, Offsets(((0, 3, 6, 9), (0, 5, 10, 15))), 80),
    "rotnet3d": Family(resnet3d, Offsets((tuple(25 * i // 16 for i in range(16)),)), 112),
}

# Below this, the last feature map would be less than one pixel wide.
SMALLEST_IMAGE = 32


def family_of(name: str, flag: str = "family") -> Family:
    """Returns the family that a flag names; for `single+NAME`, two streams, that of NAME.

    Raises:
        InputError: the name is unknown.
    """
    kind = FAMILIES.get(name.removeprefix("single+"))
    if kind is None or ("+" in name and kind.sampling.frames == 1):
        raise InputError(f"--{flag}={name}: unknown; choose one of {', '.join(FAMILIES)}")
    return kind


def sampling_of(name: str, legacy: bool = False, interval: int | None = None) -> Sampling:
    """Returns which frames make a clip of a family.

    Args:
        name: of the family.
        legacy: whether to follow the authors' rules.
        interval: from one frame to the next; default: the family's.

    Raises:
        InputError: unknown family, or one whose frames have no constant interval.
    """
    sampling = dataclasses.replace(family_of(name).sampling, legacy=legacy)
    if interval is None:
        return sampling
    if sampling.frames == 1 or not isinstance(sampling, Window):
        raise InputError(
            f"--frame_interval: the frames of --family={name} have no interval; leave it out"
        )
    return dataclasses.replace(sampling, interval=interval)


def check(depth: int, image_size: int | None) -> None:
    """Raises InputError if the depth is unknown or the image too small for five halvings."""
    if depth not in BLOCKS_PER_STAGE:
        raise InputError(
            f"--depth={depth}: unknown; choose one of {', '.join(map(str, BLOCKS_PER_STAGE))}"
        )
    if image_size is not None and image_size < SMALLEST_IMAGE:
        raise InputError(
            f"--image_size={image_size}: too small for the network; use {SMALLEST_IMAGE} or more"
        )


def build(
    family: str,
    image_size: int | None = None,
    depth: int = 18,
    num_classes: int | None = None,
    bn_momentum: float = 0.997,
    frames: int | None = None,
    classify: Callable = heads.logits,
) -> keras.Model:
    """Builds the network of a family.

    Args:
        family: a key of `FAMILIES`.
        image_size: height and width of a frame in pixels; None accepts any size.
        depth: 18, 34 or 50.
        num_classes: of a network that classifies instead of embedding; else None.
        bn_momentum: of batch normalisation's moving statistics; 0.997 in the paper's runs.
        frames: number of frames in a clip; default: the family's.
        classify: maps pooled features and `num_classes` to the logits, float32.

    Returns:
        A model from clips [B, T, H, W, 3], pixel values in 0..255 of any number type, to a dict:
        `embedding` float32 [B, 128] of unit norm and the taps `encode_1`, ..., channels last.
        With `num_classes` also `logits`, of `heads.logits` float32 [B, num_classes], and the
        embedding is the pooled features scaled to unit norm.

    Raises:
        InputError: unknown family or depth, an image too small for five halvings, or a number of
            frames that the family cannot take.
    """
    kind = family_of(family)
    check(depth, image_size)
    if "+" in family:
        raise InputError(
            f"--family={family}: two streams are trained apart; --mode=finetune takes both"
        )
    frames = kind.sampling.frames if frames is None else frames
    # Float input: Keras casts uint8 clips itself, and clips with colour noise are not integers.
    clip = keras.Input((frames, image_size, image_size, 3), dtype="float32", name="clip")
    taps, features = kind.network(clip, depth=depth, bn_momentum=bn_momentum)
    if num_classes:
        head = {
            "logits": classify(features, num_classes),
            "embedding": heads.UnitNorm(name="embedding")(features),
        }
    else:
        head = {"embedding": heads.embedding(features)}
    return keras.Model(clip, {**head, **taps}, name=family)


def build_finetuned(
    family: str,
    image_size: int | None = None,
    depth: int = 18,
    num_classes: int = 2,
    bn_momentum: float = 0.997,
) -> keras.Model:
    """Builds the network for fine-tuning: a new head on the globally pooled last tap (appendix E).

    Args:
        family: a key of `FAMILIES`, or `single+NAME`: the two-stream model of both.
        image_size: as in `build`.
        depth: as in `build`.
        num_classes: of the head.
        bn_momentum: as in `build`.

    Returns:
        As `build` with `num_classes`. The taps `encode_10` (at depth 18) are pooled: 512 channels
        for VIE-Single and 3DResNet; 704 for SlowFast, with the Fast path's; for two streams both
        networks' `encode_10`, 1152 for Single and SlowFast.
    """
    streams = []
    for name in family.split("+"):
        network = build(name, image_size, depth=depth, bn_momentum=bn_momentum)
        taps = {k: x for k, x in network.output.items() if "encode_" in k}
        if "+" in family:  # its head does not use the Fast path
            taps = {k: x for k, x in taps.items() if k.startswith("encode_")}
        features = heads.UnitNorm(name="embedding")(heads.pool_last_taps(taps))
        streams.append(keras.Model(network.input, {**taps, "embedding": features}, name=name))
    network = two_stream(*streams) if "+" in family else streams[0]
    taps = {k: x for k, x in network.output.items() if "encode_" in k}
    features = heads.pool_last_taps(taps)
    head = {
        "logits": heads.new_logits(features, num_classes),
        "embedding": heads.UnitNorm(name="unit_features")(features),
    }
    return keras.Model(network.input, {**head, **taps}, name=network.name)


def parameters(network: keras.Model) -> int:
    """Counts the trainable parameters of a network."""
    return sum(weight.shape.num_elements() for weight in network.trainable_weights)


def multiply_adds(network: keras.Model) -> int:
    """Counts the multiplications, each with an addition, for one clip.

    Only convolutions and dense layers are counted; padding counts as if it were pixels.

    Args:
        network: built for a known image size.
    """
    clip = tf.TensorSpec((1, *network.input.shape[1:]))
    graph = tf.function(network, autograph=False).get_concrete_function(clip, training=False).graph
    # From the graph, not the layers: their maps have time in the batch axis, of unknown size.
    return sum(
        op.inputs[1].shape.num_elements() * op.outputs[0].shape[:-1].num_elements()
        for op in graph.get_operations()
        if op.type in ("Conv2D", "Conv3D", "MatMul")
    )


def frames_in_words(sampling: Sampling) -> str:
    """Describes which frames make a clip."""
    if isinstance(sampling, HalfSeconds):
        return "one of each of as many half-seconds"
    if isinstance(sampling, Offsets):
        lengths = " or ".join(str(pattern[-1]) for pattern in sampling.patterns)
        return f"spread over {lengths} frames"
    if sampling.frames == 1:
        return "any"
    return "consecutive" if sampling.interval == 1 else f"every {sampling.interval}th"


def row(name: str, network: keras.Model, kind: Family) -> str:
    """Returns a row of the table, in Markdown: a network on the clips of a family."""
    side, frames = kind.image_size, kind.sampling.frames
    return (
        f"| {name} | {parameters(network):,} | {multiply_adds(network) / 1e9:.2f} G "
        f"| {frames} x {side} x {side} | {frames_in_words(kind.sampling)} "
        f"| {TEST_CLIPS}, evenly spaced |"
    )


def main() -> None:
    """Prints the table of families."""
    print("| `--family` | parameters | multiply-adds | clip | its frames | test clips |")
    print("|---|---|---|---|---|---|")
    for name, kind in FAMILIES.items():
        print(row(f"`{name}`", build(name, kind.image_size), kind), flush=True)
    for name in ("slow", "slowfast"):
        kind = family_of(name)
        streams = (build(stream, kind.image_size) for stream in ("single", name))
        print(row(f"two-stream of `single` and `{name}`", two_stream(*streams), kind), flush=True)


if __name__ == "__main__":
    main()
