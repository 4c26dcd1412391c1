"""What runs in a step or an evaluation has kernels on a GPU, and does not wait for the host."""

import functools

import gpu_kernels
import numpy as np
import pytest
import small_networks
import tensorflow as tf

from vie_tf import device
from vie_tf.data.augmentation import AUGMENTATIONS, VIE_AUGMENTATION
from vie_tf.evaluation import embed
from vie_tf.evaluation.taps import find_taps
from vie_tf.keras2 import keras
from vie_tf.models import families
from vie_tf.objectives import clustering, neighbours, pretext
from vie_tf.objectives.clustering import Clusters
from vie_tf.objectives.memory_bank import MemoryBank
from vie_tf.objectives.registry import OBJECTIVES
from vie_tf.objectives.supervised_model import Supervised
from vie_tf.objectives.vie_model import VIE
from vie_tf.training.learning_rate import PiecewiseRate, Plateau
from vie_tf.training.linear_classifiers import ReadOut
from vie_tf.training.optimizer import Momentum

REGISTRIES = gpu_kernels.registries()
SIZE, BATCH, ROWS = 32, 4, 20_000


pytestmark = pytest.mark.usefixtures("as_on_gpu")


def assert_runs_on_gpus(function, *arguments, but=()):
    concrete = tf.function(function).get_concrete_function(*arguments)
    for release, registry in REGISTRIES.items():
        found = gpu_kernels.problems(concrete, registry)
        assert not [what for what in found if what not in but], (release, found)


@functools.cache
def build_once(family, size, precision, **head):
    return families.build(family, size, **head)


def build(family, size, **head):
    """A network that tests trace, and leave as it is."""
    if tf.distribute.has_strategy():
        return families.build(family, size, **head)
    return build_once(family, size, keras.mixed_precision.global_policy().name, **head)


def built(model):
    """With its optimizer's variables: a function that makes some is traced twice."""
    model.optimizer.build(model.network.trainable_weights)
    return model


def batch(frames, size=SIZE):
    return {
        "clip": tf.TensorSpec((BATCH, frames, size, size, 3), tf.uint8),
        "index": tf.TensorSpec((BATCH,), tf.int64),
        "label": tf.TensorSpec((BATCH,), tf.int64),
        "seed": tf.TensorSpec((BATCH, 2), tf.int32),
    }


# Dense layers of [B, n, C] compute with shapes where B is not known, as in the last batch of an
# evaluation. It is a few numbers a batch, and never so in training.
SHAPES = ("to the host: ConcatV2 of int32", "to the host: Pack of int32")


def any_batch(frames):
    """The clips of an evaluation, whose last batch is smaller."""
    return tf.TensorSpec((None, frames, SIZE, SIZE, 3), tf.uint8)


def vie(family="single", loss="ir", xla=True, augmentation=VIE_AUGMENTATION, **bank):
    network = build(family, SIZE)
    noise = 0 if loss == "softmax" else 16
    model = VIE(
        network,
        MemoryBank(ROWS, **bank),
        noise,
        colour=augmentation.colour,
        clusters=Clusters(ROWS, 2),
        neighbours=20,
    )
    model.plateau = Plateau(2)
    rate = PiecewiseRate(0.1, [5], 3, plateau=model.plateau)
    model.compile(Momentum(rate, l2=1e-4), jit_compile=xla)
    if loss == "la":
        model.aggregate()
    return built(model)


def frames_of(model):
    return model.network.input.shape[1]


def test_the_registries_are_those_of_two_releases():
    assert sorted(REGISTRIES) == ["2.15.1", "2.21.0"]
    if tf.test.is_built_with_cuda():
        assert gpu_kernels.registered() == REGISTRIES[tf.__version__]


@pytest.mark.parametrize("bank", [{}, {"precision": "bfloat16"}, {"legacy": True}])
@pytest.mark.parametrize("loss", ["ir", "softmax", "la"])
def test_step_of_each_loss_and_bank(loss, bank):
    model = vie(loss=loss, **bank)
    assert_runs_on_gpus(model.train_step, batch(1))


@pytest.mark.parametrize("loss", ["ir", "softmax", "la"])
def test_keras_evaluation_of_each_loss(loss):
    model = vie(loss=loss)
    model.compile(Momentum(0.1), metrics=["accuracy"])
    assert_runs_on_gpus(model.test_step, batch(1))


def test_neighbours_in_several_blocks(monkeypatch):
    monkeypatch.setattr(neighbours, "_GPU_BLOCK", 10_000)
    model = vie(loss="la")
    assert_runs_on_gpus(model.train_step, batch(1))


@pytest.mark.parametrize("loss", ["ir", "la"])
def test_step_of_two_replicas_with_a_sharded_bank(loss):
    """Each replica's part; what goes from replica to replica is the strategy's."""
    replicas = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with replicas.scope():
        model = vie(loss=loss, sharded=True)
    assert_runs_on_gpus(lambda b: replicas.run(model.train_step, (b,)), batch(1))


def in_both_precisions(test):
    """Of families that make all kinds of layers."""
    some = pytest.mark.parametrize("family", ["single", "resnet3d", "slowfast", "relation4"])
    both = pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    return some(both(test))


@in_both_precisions
def test_step_without_the_compiler(family, precision):
    device.set_precision(precision)
    model = vie(family, xla=False)
    assert_runs_on_gpus(model.train_step, batch(frames_of(model)))


@pytest.mark.parametrize("family", small_networks.distinct())
def test_step_of_each_family(family):
    model = vie(family)
    assert_runs_on_gpus(model.train_step, batch(frames_of(model)))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_step_of_each_augmentation(name):
    model = vie("opn", augmentation=AUGMENTATIONS[name])
    assert_runs_on_gpus(model.train_step, batch(frames_of(model)))


@pytest.mark.parametrize("xla", [True, False])
@pytest.mark.parametrize("loss, family", [("order", "opn"), ("rotation", "rotnet3d"), ("", "slow")])
def test_step_of_what_learns_labels(loss, family, xla):
    head = OBJECTIVES[loss or "supervised"]().head(5)
    network = build(family, SIZE, **head)
    model = Supervised(network, pretext=pretext.PRETEXTS.get(loss))
    model.compile(Momentum(0.1, l2=1e-4), jit_compile=xla)
    built(model)
    assert_runs_on_gpus(model.train_step, batch(frames_of(model)))
    assert_runs_on_gpus(model.test_step, batch(frames_of(model)))


@pytest.mark.parametrize("family", ["slowfast", "single+slow"])
def test_step_of_fine_tuning(family):
    model = Supervised(families.build_finetuned(family, SIZE, num_classes=5))
    model.compile(Momentum(0.1, l2=1e-4))
    built(model)
    assert_runs_on_gpus(model.train_step, batch(frames_of(model)))


def test_step_of_read_outs():
    network = build("slow", SIZE)
    model = ReadOut(network, find_taps(network, ["conv3", "conv5-avg", "embedding"], 18), 5)
    model.compile(Momentum(0.1, l2=1e-4))
    built(model)
    assert_runs_on_gpus(model.train_step, batch(4))
    assert_runs_on_gpus(model.test_step, batch(4))


@in_both_precisions
def test_evaluation(family, precision):
    device.set_precision(precision)
    network = build(family, SIZE)
    clip = any_batch(network.input.shape[1])
    assert_runs_on_gpus(embed.embedder(network), clip, but=SHAPES)
    taps = find_taps(network, ["conv3", "conv5-avg"], 18)
    assert_runs_on_gpus(lambda x: taps(network(x, training=False)), clip, but=SHAPES)


def test_evaluation_of_labels_and_tasks():
    network = build("slow", SIZE, num_classes=5)
    clip = any_batch(4)
    assert_runs_on_gpus(embed.classifier(network), clip)
    network = build("opn", SIZE, **OBJECTIVES["order"]().head(0))
    solve = pretext.solver(network, pretext.PRETEXTS["order"])
    assert_runs_on_gpus(solve, clip, but=SHAPES)


def test_clustering(monkeypatch):
    centres = np.zeros((50, 128), np.float32)
    monkeypatch.setattr(clustering, "_GPU_BLOCK", 50 * 700)
    assert_runs_on_gpus(lambda x: clustering._assigned(x, centres), tf.TensorSpec((3000, 128)))


def test_what_was_wrong_once_is_found():
    """The kinds of faults that kept training from a GPU, each by itself."""
    keras.backend.clear_session()
    marks, names = tf.Variable(tf.zeros(9, tf.bool)), tf.Variable(tf.zeros(9, tf.int32))
    counts = tf.Variable(tf.zeros(9, tf.int64))

    def faults(index, clip):
        marks.scatter_update(tf.IndexedSlices(tf.ones_like(index, tf.bool), index))
        counts.scatter_update(tf.IndexedSlices(index, index))
        tf.map_fn(lambda x: x + 1, clip)
        tf.RaggedTensor.from_value_rowids(index, index, 9, validate=False).to_tensor()
        tf.where(index > 3)
        tf.random.stateless_uniform((3,), tf.stack([index[0], index[1]]))
        if index[0] > 3:
            tf.print("more")
        return tf.gather(names, index)

    specs = tf.TensorSpec((4,), tf.int64), tf.TensorSpec((4, 2), tf.uint8)
    concrete = tf.function(faults).get_concrete_function(*specs)
    found = " ".join(gpu_kernels.problems(concrete, REGISTRIES["2.15.1"]))
    for what in (
        "no kernel: ResourceScatterUpdate of int64, bool, on a variable",
        "by way of the host: ResourceScatterUpdate of int64",
        "no variable of int32 on a GPU",
        "ResourceGather",
        "no kernel: TensorListFromTensor of uint8",
        "RaggedTensorToTensor",
        "size unknown: Where",
        "to the host: StatelessRandomGetKeyCounter",
        "If by what is on the GPU",
    ):
        assert what in found, (what, found)
