"""What the paper's experiments take: the tables of flagfiles in docs/experiments.md.

    python -m benchmarks.experiments

Time and memory are estimates for one GPU, by this arithmetic alone. Time: the multiply-adds of all
clips, threefold where the network learns, at SUSTAINED operations a second, if decoding keeps up.
Memory: what the convolutions, normalisations and activations of a step hand on, in float32, kept
where the network learns; weights, their gradients and momentum; the bank.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import tensorflow as tf
from absl import flags

from vie_tf.commands import flags as command_flags  # noqa: F401 (defines them)
from vie_tf.keras2 import keras
from vie_tf.models import families
from vie_tf.models.input_single import input_single
from vie_tf.models.resnet import stage_taps
from vie_tf.models.two_stream import two_stream

FOLDER = Path(__file__).parent.parent / "flags"
SUSTAINED = 30e12  # floating-point operations a second: a fifth of an A100's peak in TF32
VIDEOS = 240_000
BINS = {0: 1.0, 130: 473_532 / 239_888, 52: 1_157_650 / 239_888}  # rows of the bank a video
KEPT = ("Conv2D", "Conv3D", "FusedBatchNormV3", "Relu", "AddV2", "MaxPool")
CLASSES = {"Kinetics-400": 400, "ImageNet": 1000}
# Folders of flags/, and what is in them.
FOLDERS = {
    "table1": "Table 1: linear read-outs",
    "table2": "Table 2: fine-tuning on UCF101 and HMDB51",
    "table3": "Table 3: less data, and videos in pieces",
    "table4": "Table 4: VIE-Single on the frames of the others",
    "table5": "Table 5: supervised networks, read out on ImageNet",
    "baselines": "The authors' baselines, evaluated",
    "": "Networks: what the read-outs and fine-tuning begin with",
}


def network(name: str) -> keras.Model:
    """A family's at its paper's size, or the two-stream model SINGLE+FAMILY."""
    if "+" in name:
        first, second = name.split("+")
        return two_stream(network(first), network(second))
    if "@" in name:  # Input-Single
        first, other = name.split("@")
        return input_single(network(first), families.sampling_of(other).frames)
    return families.build(name, families.family_of(name).image_size)


@functools.cache
def cost(name: str) -> tuple[int, int, int, dict[str, tuple[int, int]]]:
    """Multiply-adds and numbers handed on of a clip, parameters, and its taps' values, channels."""
    model = network(name)
    clip = tf.TensorSpec((1, *model.input.shape[1:]))
    graph = tf.function(model, autograph=False).get_concrete_function(clip, training=False).graph
    handed_on = sum(
        op.outputs[0].shape.num_elements() or 0 for op in graph.get_operations() if op.type in KEPT
    )
    taps = {}
    for tap, shape in model.output_shape.items():
        if tap.startswith("encode_") and len(shape) > 2:
            taps[tap] = shape[-1] * shape[-2] * shape[-3], shape[-1]
    return families.multiply_adds(model), handed_on, families.parameters(model), taps


def flagfiles() -> list[Path]:
    """Of the experiments and of the demo, by folder; not what they share."""
    return [path for folder in FOLDERS for path in sorted((FOLDER / folder).glob("*.flags"))]


def family(run: str) -> str:
    """The family of runs/NAME, by its flagfile."""
    text = (FOLDER / f"{Path(run).name}.flags").read_text()
    return re.search(r"^--family=(\w+)", text, re.MULTILINE).group(1)


def network_of(given: flags.FlagValues) -> str:
    """The network of a flagfile's run, as `network` takes it."""
    run = given.workdir if given.mode == "readout" else given.start_from
    name = family(run) if run and not given["family"].present else given.family
    if given.second_workdir:
        return f"{name}+{family(given.second_workdir)}"
    return f"{name}@{given.frames_of}" if given.frames_of else name


def estimate(given: flags.FlagValues, data: str) -> tuple[float, float]:
    """Hours and GB that a run of these flags takes.

    Args:
        given: the flags of a flagfile.
        data: Kinetics-400, ImageNet, UCF101 or HMDB51.
    """
    name = network_of(given)
    operations, handed_on, parameters, taps = cost(name)
    shown = 4 if given.loss == "rotation" else 1  # each clip, turned
    batch = shown * given.batch_size
    clips = given.steps * batch
    if given.mode == "readout":
        largest = 400_000 if "+" in name else 200_000
        pooled = 0
        for tap in given.taps:
            values, channels = taps[stage_taps(18)[tap.removesuffix("-avg")]]
            shrunk = 1 if values <= largest else 4 if values <= 4 * largest else 16
            pooled += channels if tap.endswith("-avg") else values / shrunk
        hours = 2 * operations * clips / SUSTAINED / 3600
        # The largest maps of a few layers at a time; read-outs with gradient and momentum.
        held = given.batch_size * handed_on / 8 + 3 * pooled * CLASSES[data] + parameters
        return hours, 4 * held / 1e9
    rows = 0
    if given.mode != "finetune" and given.loss != "supervised":
        rows = VIDEOS * given.subset * BINS[given.bin_frames]
    held = batch * handed_on + 3 * parameters + 128 * rows
    return 6 * operations * clips / SUSTAINED / 3600, 4 * held / 1e9


def in_words(hours: float, gigabytes: float) -> str:
    """To two digits, such as '18 hours, 6.4 GB'."""
    time = f"{hours / 24:.2g} days" if hours >= 48 else f"{hours:.2g} hours"
    return f"{time}, {gigabytes:.2g} GB"


def head(path: Path) -> dict[str, str]:
    """The named lines of a flagfile's head: its command, data, paper's numbers and estimate."""
    comment = [line[2:] for line in path.read_text().splitlines() if line.startswith("# ")]
    # Its first sentence, or what stands before its colon.
    found = {"what": re.split(r"[.;:] |\.$", " ".join(comment).split("  vie_tf ")[0])[0].strip()}
    for line in comment:
        if line.lstrip().startswith("vie_tf "):
            found.setdefault("command", line.strip())
        if named := re.match(r"(Data|Paper's top-1|Estimate): (.*)", line):
            found[named.group(1)] = named.group(2).rstrip(".")
    return found


def main() -> None:
    """Prints the tables, from the flagfiles' heads."""
    for folder, title in FOLDERS.items():
        print(f"\n### {title}\n")
        print("| flagfile | what | data | the paper's top-1, % | estimate for one GPU |")
        print("|---|---|---|---|---|")
        for path in sorted((FOLDER / folder).glob("*.flags")):
            found = head(path)
            cells = [found.get(x, "") for x in ("Data", "Paper's top-1", "Estimate")]
            print(f"| `{path.relative_to(FOLDER)}` | {found['what']} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
