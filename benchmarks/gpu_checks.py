"""Whether training on the GPU is right: the parts of `benchmarks.gpu` that pass or fail.

python -m benchmarks.gpu_checks numbers FILE.npz   # what compare() holds against the processor's
python -m benchmarks.gpu_checks families PART OF   # two steps of each family and each loss
python -m benchmarks.gpu_checks replicas           # two replicas, on parts of one GPU if need be
"""

from __future__ import annotations

import sys

import numpy as np
import tensorflow as tf

from benchmarks.search import unit_rows
from vie_tf import device
from vie_tf.data.augmentation import AUGMENTATIONS, PAPER_COLOUR_NOISE, colour_noise
from vie_tf.keras2 import keras
from vie_tf.models import families
from vie_tf.objectives import pretext
from vie_tf.objectives.clustering import Clusters, k_means
from vie_tf.objectives.memory_bank import MemoryBank
from vie_tf.objectives.neighbours import nearest_rows
from vie_tf.objectives.registry import OBJECTIVES
from vie_tf.objectives.supervised_model import Supervised
from vie_tf.objectives.vie_model import VIE
from vie_tf.training.optimizer import Momentum

SIZE, BATCH, ROWS, CLASSES = 64, 8, 20_000, 5
# Largest difference from the processor, of numbers of that name.
TOLERANCE = {"noise": 0.1, "blur": 0.5, "objective": 1.0, "neighbours": 0.01}
OF_STEPS = 2e-3  # losses and rows of the bank, of three steps
OF_GRADIENTS = 0.02  # the length of their difference as a share of theirs; rectifiers flip
# Of steps whose numbers are compared. At a rate that a run has, a network at its random start makes
# of last bits that differ a thousand times as much: on two ways of one processor too.
SMALL_RATE = 1e-5


def batch(frames: int, size: int = SIZE, number: int = BATCH) -> dict[str, tf.Tensor]:
    """Random clips."""
    rng = np.random.default_rng(1)
    return {
        "clip": tf.constant(rng.integers(0, 256, (number, frames, size, size, 3)), tf.uint8),
        "index": tf.constant(rng.permutation(ROWS)[:number]),
        "label": tf.constant(rng.integers(CLASSES, size=number)),
        "seed": tf.constant(rng.integers(0, 1 << 30, (number, 2)), tf.int32),
    }


def vie(family: str, loss: str, xla: bool | None = None, rate: float = 0.01, **of_bank) -> VIE:
    """A model of a small bank of which all rows are visited."""
    network, bank = families.build(family, SIZE), MemoryBank(ROWS, **of_bank)
    noise = 0 if loss == "softmax" else 256
    model = VIE(network, bank, noise, clusters=Clusters(ROWS), neighbours=512)
    model.compile(Momentum(rate, l2=1e-4), jit_compile=xla)
    model.bank.visited.assign(tf.ones(ROWS))
    model.clusters.labels.assign(np.arange(ROWS)[:, None] % 50)
    if loss == "la":
        model.aggregate()
    return model


def numbers(out: str) -> None:
    """Writes what a GPU and the processor compute of the same things."""
    tf.config.experimental.enable_tensor_float_32_execution(False)
    found, clips = {}, batch(2)
    for name, strength in (("noise", PAPER_COLOUR_NOISE), ("blur", AUGMENTATIONS["simclr"].colour)):
        found[name] = colour_noise(clips["clip"], clips["seed"], strength).numpy()
    rows, asked = tf.Variable(unit_rows(ROWS, 1)), tf.constant(unit_rows(BATCH, 2))
    found["neighbours"] = np.sort(nearest_rows(asked, rows, 512)[1].numpy(), axis=1)
    found["objective"] = np.array(k_means([tf.constant(rows)], 50, 0, 5).objective)
    for loss in ("ir", "softmax", "la"):
        keras.utils.set_random_seed(0)
        model = vie("single", loss, rate=SMALL_RATE)
        step = tf.function(model.take_step)
        found[f"loss {loss}"] = np.array([step(batch(1))["loss"] for _ in range(3)])
        # Of three steps, with the momentum and the penalty.
        gradients = np.concatenate([np.ravel(sums) for sums in model.optimizer.accumulators])
        found[f"gradients {loss}"] = gradients
        found[f"bank {loss}"] = model.bank.whole()
    np.savez(out, **found)


def compare(ours: str, theirs: str) -> list[str]:
    """A line for each thing that differs too much; and prints how much everything differs."""
    one, other, wrong = np.load(ours), np.load(theirs), []
    for name in one.files:
        apart = float(np.abs(one[name].astype(np.float64) - other[name]).max())
        if name.startswith("gradients"):
            apart = float(np.linalg.norm(one[name] - other[name]) / np.linalg.norm(other[name]))
        print(f"  {name:18} differs by at most {apart:.2g}", flush=True)
        if name == "neighbours":
            apart = float((one[name] != other[name]).mean())
        steps = OF_GRADIENTS if name.startswith("gradients") else OF_STEPS
        if not apart <= TOLERANCE.get(name, steps):
            wrong.append(f"{name} differs by {apart:.2g}")
    return wrong


def check_families(part: str = "0", of: str = "1") -> None:
    """Two steps of each family and of each loss; raises where one cannot or a loss is no number.

    Plain but for IR, LA and a bank in bfloat16, as to compile all takes longer than the rest.
    """
    models = {name: lambda name=name: vie(name, "ir", False) for name in families.FAMILIES}
    models |= {f"single, {loss}": lambda loss=loss: vie("single", loss) for loss in ("ir", "la")}
    models["single, bank in bfloat16"] = lambda: vie("single", "la", precision="bfloat16")
    for loss, family in (("order", "opn"), ("rotation", "rotnet3d"), ("supervised", "slow")):
        head = OBJECTIVES[loss]().head(CLASSES)
        task = pretext.PRETEXTS.get(loss)

        def labelled(family=family, head=head, task=task):
            model = Supervised(families.build(family, SIZE, **head), pretext=task)
            model.compile(Momentum(0.01), jit_compile=False)
            return model

        models[f"{family}, {loss}"] = labelled
    for name, make in [*models.items()][int(part) :: int(of)]:
        keras.backend.clear_session()
        model = make()
        step, clips = tf.function(model.take_step), batch(model.network.input.shape[1])
        losses = [float(step(clips)["loss"]) for _ in range(2)]
        if not np.isfinite(losses).all():
            raise SystemExit(f"{name}: losses {losses}")
        print(f"  {name}: losses {losses[0]:.3f}, {losses[1]:.3f}", flush=True)


def check_replicas() -> None:
    """Two replicas keep one bank; on parts of one GPU where there is one, else of the processor."""
    tf.config.experimental.enable_tensor_float_32_execution(False)
    gpus = tf.config.list_physical_devices("GPU")
    if len(gpus) < 2:
        whole = (gpus or tf.config.list_physical_devices("CPU"))[0]
        memory = 4096 if gpus else None
        parts = [tf.config.LogicalDeviceConfiguration(memory_limit=memory) for _ in range(2)]
        tf.config.set_logical_device_configuration(whole, parts)
    replicas = device.strategy() if gpus else tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    data = tf.data.Dataset.from_tensors(batch(1)).unbatch().batch(BATCH, drop_remainder=True)
    losses, banks = {}, {}
    for kept in ("mirrored", "sharded"):
        keras.utils.set_random_seed(0)
        with replicas.scope():
            model = vie("single", "la", rate=SMALL_RATE, sharded=kept == "sharded")
        losses[kept] = round(model.fit(data.repeat(3), verbose=0).history["loss"][0], 4)
        banks[kept] = model.bank.whole()
        if kept == "mirrored":
            copies = [x.numpy() for x in replicas.experimental_local_results(model.bank.rows)]
    apart = float(np.abs(banks["mirrored"] - banks["sharded"]).max())
    same = (copies[0] == copies[-1]).all()
    print(f"  {replicas.num_replicas_in_sync} replicas, losses {losses}, copies equal: {same}")
    print(f"  a sharded bank differs from a mirrored one by at most {apart:.2g}")
    if not same or replicas.num_replicas_in_sync < 2 or not apart < OF_STEPS:
        raise SystemExit("the replicas' banks differ")


if __name__ == "__main__":
    {"numbers": numbers, "families": check_families, "replicas": check_replicas}[sys.argv[1]](
        *sys.argv[2:]
    )
