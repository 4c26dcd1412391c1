"""`train_step` on one and two replicas, the optimizer, the order of the clips."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from vie_tf.data import pipeline
from vie_tf.data.augmentation import AUGMENTATIONS, VIE_AUGMENTATION, ColourNoise, colour_noise
from vie_tf.data.crops import TEN
from vie_tf.data.sampling import binned
from vie_tf.data.splits import subset_rows
from vie_tf.data.videos import VideoSet
from vie_tf.errors import InputError
from vie_tf.evaluation import embed as embedding
from vie_tf.models import families
from vie_tf.objectives.clustering import Clusters, k_means
from vie_tf.objectives.instance_recognition import softmax_loss
from vie_tf.objectives.memory_bank import MemoryBank
from vie_tf.training.checkpoints import Checkpoints
from vie_tf.training.optimizer import Momentum, PiecewiseRate, Plateau
from vie_tf.training.vie import VIE

VIDEOS, SIZE = 12, 32
SAMPLING = {name: families.sampling_of(name) for name in families.FAMILIES}
SINGLE = SAMPLING["single"]


def small_network():
    """As a family's network, small, without batch normalisation (replicas do not share it)."""
    clip = keras.Input((1, SIZE, SIZE, 3), dtype="float32")
    x = keras.layers.Conv2D(8, 5, 4, activation="relu", kernel_initializer=_initial(0))(clip[:, 0])
    x = keras.layers.GlobalAveragePooling2D()(x / 255.0)
    x = keras.layers.Dense(128, kernel_initializer=_initial(1))(x)
    return keras.Model(clip, {"embedding": tf.math.l2_normalize(x, axis=1)})


def _initial(seed):
    return keras.initializers.GlorotUniform(seed)


def make_model(noise_samples=0, rate=0.1, aggregates=False, sharded=False):
    """By Instance Recognition, or by Local Aggregation of four clusters in a bank that is full."""
    bank, clusters = MemoryBank(VIDEOS, seed=5, sharded=sharded), Clusters(VIDEOS)
    model = VIE(
        small_network(),
        bank,
        noise_samples=noise_samples,
        temperature=0.1,
        seed=3,
        clusters=clusters,
        neighbours=6,
    )
    model.compile(Momentum(rate))
    if aggregates:
        bank.visited.assign(tf.ones_like(bank.visited))
        clusters.labels.assign(np.arange(VIDEOS)[:, None] % 4)
        model.aggregate()
    return model


def batches(steps, size=8):
    rng = np.random.default_rng(0)
    data = {
        "clip": rng.integers(0, 256, (steps * size, 1, SIZE, SIZE, 3)).astype("uint8"),
        "index": np.concatenate([rng.permutation(VIDEOS)[:size] for _ in range(steps)]),
        "label": rng.integers(5, size=steps * size),
        "seed": rng.integers(1 << 30, size=(steps * size, 2)).astype("int32"),
    }
    return tf.data.Dataset.from_tensor_slices(data).batch(size)


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("noise_samples, aggregates", [(0, False), (64, False), (0, True)])
def test_two_replicas_take_the_steps_of_one(replicas, noise_samples, aggregates, sharded):
    """The same weights and the same bank, on both replicas, after every step."""
    if sharded and not (noise_samples or aggregates):
        pytest.skip("the exact softmax takes the bank as a whole")
    alone = make_model(noise_samples, aggregates=aggregates)
    with replicas.scope():
        shared = make_model(noise_samples, aggregates=aggregates, sharded=sharded)
    np.testing.assert_array_equal(alone.bank.whole(), shared.bank.whole())
    for step in range(3):
        one = batches(3).skip(step).take(1)
        first = alone.fit(one, verbose=0)
        second = shared.fit(one, verbose=0)
        np.testing.assert_allclose(first.history["loss"], second.history["loss"], rtol=1e-4)
        for ours, theirs in zip(alone.network.weights, shared.network.weights):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
        for name in ("labels", "visited") if sharded else ("rows", "labels", "visited"):
            copies = [
                x.numpy() for x in replicas.experimental_local_results(getattr(shared.bank, name))
            ]
            np.testing.assert_array_equal(copies[0], copies[1])
        np.testing.assert_allclose(alone.bank.whole(), shared.bank.whole(), rtol=1e-3, atol=1e-5)
        np.testing.assert_array_equal(alone.bank.labels, shared.bank.labels)
        np.testing.assert_array_equal(alone.bank.visited, shared.bank.visited)
    assert shared.bank.visited.numpy().any()


def test_a_sharded_bank_is_saved_and_clustered(replicas, tmp_path):
    """Each replica holds half; a checkpoint holds both, and k-means takes them together."""
    with replicas.scope():
        model = make_model(16, sharded=True)
        model.fit(batches(1), verbose=0)
        whole = model.bank.whole()
        saved = Checkpoints(tmp_path, model)
        saved.save()
        again = make_model(16, sharded=True)
        for part in again.bank.parts:
            part.assign(tf.zeros_like(part))
        assert Checkpoints(tmp_path, again).restore() == 1
    np.testing.assert_array_equal(again.bank.whole(), whole)
    assert [part.shape[0] for part in again.bank.parts] == [VIDEOS // 2] * 2
    parts, numbers = again.bank.snapshot()
    visited = np.flatnonzero(again.bank.visited)
    assert sorted(np.concatenate(numbers)) == visited.tolist() and len(visited) == 8
    found = k_means(parts, 3, seed=1)
    rows = np.concatenate([part.numpy() for part in parts])
    np.testing.assert_array_equal(rows, whole[np.concatenate(numbers)])
    np.testing.assert_array_equal(found.labels, k_means([tf.constant(rows)], 3, seed=1).labels)


def test_batch_normalisation_on_two_replicas(replicas):
    """Each replica normalises by its half of the batch; the moving statistics are their mean."""
    with replicas.scope():
        network = families.build("single", image_size=SIZE, bn_momentum=0.5)
        shared = VIE(network, MemoryBank(VIDEOS, seed=5), noise_samples=0, temperature=0.1)
        shared.compile(Momentum(0.1))
    alone = families.build("single", image_size=SIZE, bn_momentum=0.5)
    start = network.get_weights()
    batch = next(iter(batches(1)))
    bank = shared.bank.rows.numpy()
    losses, statistics = [], []
    for half in (slice(0, 4), slice(4, 8)):
        alone.set_weights(start)
        clip = colour_noise(batch["clip"][half], batch["seed"][half], ColourNoise())
        similarities = alone(clip, training=True)["embedding"].numpy() @ bank.T
        losses.append(softmax_loss(similarities, batch["index"][half], 0.1))
        statistics.append([weight.numpy() for weight in alone.non_trainable_weights])
    loss = shared.fit(batches(1), verbose=0).history["loss"][0]
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-4)
    for weight, one, other in zip(network.non_trainable_weights, *statistics):
        np.testing.assert_allclose(weight, (one + other) / 2, rtol=1e-3, atol=1e-4)


def test_uneven_batches_work_on_two_replicas(replicas):
    with replicas.scope():
        model = make_model(noise_samples=16)
    model.fit(batches(1, size=7), verbose=0)
    assert model.bank.visited.numpy().sum() == 7


def test_loss_is_read_before_the_bank_is_written():
    model = make_model()
    batch = next(iter(batches(1)))
    rows = model.bank.rows.numpy()
    embedding = model.network(
        colour_noise(batch["clip"], batch["seed"], ColourNoise()), training=True
    )["embedding"].numpy()
    logits = embedding @ rows.T / 0.1
    own = logits[np.arange(8), batch["index"]]
    expected = np.mean(np.log(np.exp(logits).sum(1)) - own)
    np.testing.assert_allclose(model.train_step(batch)["loss"], expected, rtol=1e-4)
    mixed = rows[batch["index"]] + embedding
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    np.testing.assert_allclose(model.bank.rows.numpy()[batch["index"]], mixed, rtol=1e-3, atol=1e-5)


def test_l2_penalty_is_in_the_momentum_and_spares_batch_normalisation():
    network = keras.Sequential([keras.layers.BatchNormalization(), keras.layers.Dense(3)])
    network.build((None, 4))
    weights = network.trainable_weights
    before = [w.numpy() for w in weights]
    optimizer = Momentum(0.1, 0.9, l2=0.5)
    for _ in range(2):
        optimizer.apply_gradients([(tf.ones_like(w), w) for w in weights])
    for weight, start in zip(weights, before):
        l2 = 0.0 if "gamma" in weight.name or "beta" in weight.name else 0.5
        accumulator, expected = 0.0, start
        for _ in range(2):
            accumulator = 0.9 * accumulator + 1.0 + l2 * expected
            expected = expected - 0.1 * accumulator
        np.testing.assert_allclose(weight, expected, rtol=1e-5, err_msg=weight.name)


def test_momentum_keeps_gradients_and_not_steps():
    """After a drop of the rate the whole step is smaller at once."""
    optimizer = Momentum(PiecewiseRate(0.1, [0]), 0.9)
    weight = tf.Variable([1.0])
    accumulator, expected = 0.0, 1.0
    for step, rate in enumerate([0.1, 0.01, 0.01]):
        optimizer.apply_gradients([(tf.constant([2.0]), weight)])
        accumulator = 0.9 * accumulator + 2.0
        expected -= rate * accumulator
        np.testing.assert_allclose(weight, [expected], rtol=1e-5, err_msg=str(step))


def test_learning_rate_drops_on_a_plateau_twice_at_most():
    plateau = Plateau(patience=2)
    rate, seen = PiecewiseRate(1.0, [100], plateau=plateau), []
    for value in (0.1, 0.3, 0.2, 0.3, 0.4, 0.1, 0.1, 0.1, 0.1):
        plateau.see(value)
        seen.append(float(rate(50)))
    expected = [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01]
    np.testing.assert_allclose(seen, expected, rtol=1e-5)
    np.testing.assert_allclose(float(rate(101)), 0.001, rtol=1e-5)


def noise_videos(count=10):
    frames = tf.constant(np.random.default_rng(1).integers(0, 256, (count, 6, 40, 48, 3)), tf.uint8)

    def read(number, chosen, box):
        clip = tf.gather(frames[number], chosen)
        return clip[:, box[0] : box[0] + box[2], box[1] : box[1] + box[3]]

    return VideoSet(
        ids=[str(i) for i in range(count)],
        labels=np.arange(count) % 3,
        label_names=list("abc"),
        splits=np.full(count, ""),
        frames=np.full(count, 6),
        sizes=np.full((count, 2), (40, 48), np.int32),
        file_bytes=np.zeros(count, np.int64),
        numbers=np.arange(count),
        read=read,
    )


def test_every_epoch_is_a_permutation_of_its_own():
    stream = pipeline.training_batches(noise_videos(), SINGLE, 5, SIZE, 7, 0, 8)
    order = np.concatenate([batch["index"] for batch in stream]).reshape(4, 10)
    assert (np.sort(order) == np.arange(10)).all()
    assert len({tuple(epoch) for epoch in order}) == 4


def test_clips_do_not_depend_on_where_the_run_started():
    whole = list(pipeline.training_batches(noise_videos(), SINGLE, 4, SIZE, 7, 0, 6))
    later = list(pipeline.training_batches(noise_videos(), SINGLE, 4, SIZE, 7, 3, 6))
    for one, other in zip(whole[3:], later):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    others = next(iter(pipeline.training_batches(noise_videos(), SINGLE, 4, SIZE, 8, 0, 6)))
    assert (others["clip"].numpy() != whole[0]["clip"].numpy()).any()
    assert whole[0]["clip"].dtype == tf.uint8 and whole[0]["seed"].shape == (4, 2)


def test_test_clips_are_all_there_in_order():
    stream = list(pipeline.test_batches(noise_videos(), SINGLE, SIZE, clips=5, batch_size=16))
    assert np.concatenate([batch["index"] for batch in stream]).tolist() == sorted(
        5 * list(range(10))
    )
    assert len(stream[-1]["index"]) == 50 % 16


def moving_videos(lengths=(250, 100, 3)):
    """Videos of which each frame is of its number."""

    def read(number, chosen, box):
        shape = tf.concat([tf.shape(chosen), box[2:], [3]], axis=0)
        return tf.broadcast_to(tf.cast(chosen, tf.uint8)[:, None, None, None], shape)

    count = len(lengths)
    return dataclasses.replace(
        noise_videos(count), frames=np.array(lengths), labels=np.arange(count), read=read
    )


@pytest.mark.parametrize("family", SAMPLING)
def test_clips_are_those_of_the_sampling(family):
    sampling, videos = SAMPLING[family], moving_videos()
    shape = (15, sampling.frames, SIZE, SIZE, 3)
    for batches in (
        pipeline.test_batches(videos, sampling, SIZE),
        pipeline.first_half_batches(videos, sampling, SIZE, 0, 5),
        pipeline.second_half_batches(videos, sampling, SIZE, 5),
        pipeline.training_batches(videos, sampling, 15, SIZE, 0, 0, 1),
    ):
        assert next(iter(batches))["clip"].shape == shape
        assert batches.element_spec["clip"].shape[1:] == shape[1:]
    shown = next(iter(pipeline.test_batches(videos, sampling, SIZE)))["clip"][:, :, 0, 0, 0]
    for row, n in enumerate(videos.frames):
        np.testing.assert_array_equal(
            shown[5 * row : 5 * row + 5], sampling.spaced(tf.constant(n, tf.int64), 5)
        )
    first, second = (
        next(iter(batches))["clip"].numpy()[:5, :, 0, 0, 0]  # of the first video
        for batches in (
            pipeline.first_half_batches(videos, sampling, SIZE, 0, 5),
            pipeline.second_half_batches(videos, sampling, SIZE, 5),
        )
    )
    assert first.max() < 125 <= second.min()


@pytest.mark.parametrize("family", ["resnet3d", "trn"])
def test_all_clips_of_videos_of_different_lengths(family):
    sampling, videos = SAMPLING[family], moving_videos((250, 100, 3))
    batches = list(pipeline.all_clips_batches(videos, sampling, SIZE, batch_size=7))
    index, shown = (
        np.concatenate(column)
        for column in zip(*((b["index"], b["clip"][:, :, 0, 0, 0]) for b in batches))
    )
    counts = pipeline.all_clips(videos, sampling)
    assert (len(batches[0]["index"]), len(set(counts))) == (7, 3)
    assert index.tolist() == np.repeat(np.arange(3), counts).tolist()
    for row, n in enumerate(videos.frames):
        np.testing.assert_array_equal(shown[index == row], sampling.consecutive(tf.constant(n)))


def test_embeddings_of_all_clips_are_those_of_each_video():
    """Of videos of 15, 6 and 1 clips of 16 frames, by a network that sees the first frame."""
    videos, sampling = moving_videos((250, 100, 3)), SAMPLING["resnet3d"]

    def embed(clip):
        return tf.cast(clip[:, 0, 0, 0, :1], tf.float32)

    clips = embedding.embed_clips(embed, videos, sampling, SIZE, clips=0)
    assert [of_video.shape for of_video in clips] == [(15, 1), (6, 1), (1, 1)]
    starts = [16 * np.arange(n) for n in (15, 6, 1)]
    assert all((ours[:, 0] == theirs).all() for ours, theirs in zip(clips, starts))
    means = embedding.video_means(clips)[:, 0]
    np.testing.assert_allclose(means, [start.mean() for start in starts])


def test_ten_crops_of_each_clip():
    videos = noise_videos(3)
    batches = pipeline.test_batches(videos, SINGLE, SIZE, clips=2, batch_size=60, test=TEN)
    batch = next(iter(batches))
    assert batch["index"].numpy().tolist() == np.repeat(np.arange(3), 20).tolist()
    views = batch["clip"].numpy().reshape(6, 10, SIZE, SIZE, 3)
    np.testing.assert_array_equal(views[:, 5:], views[:, :5, :, ::-1])
    assert len({view.tobytes() for view in views[0]}) == 10
    centre = next(iter(pipeline.test_batches(videos, SINGLE, SIZE, clips=2)))["clip"][:, 0]
    np.testing.assert_array_equal(views[:, 0], centre)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_clips_are_a_function_of_the_seed(name):
    videos, way = noise_videos(), AUGMENTATIONS[name]

    def clips(seed):
        batches = pipeline.training_batches(videos, SINGLE, 10, SIZE, seed, 0, 1, way)
        batch = next(iter(batches))
        return colour_noise(batch["clip"], batch["seed"], way.colour).numpy()

    first = clips(3)
    np.testing.assert_array_equal(first, clips(3))
    assert first.shape == (10, 1, SIZE, SIZE, 3) and first.min() >= 0 and first.max() <= 255.001
    assert (first != clips(4)).any(axis=(1, 2, 3, 4)).mean() > 0.9


def test_one_crop_and_flip_for_all_frames_of_a_clip():
    picture = np.random.default_rng(0).integers(0, 256, (40, 48, 3)).astype("uint8")

    def read(number, chosen, box):
        part = tf.constant(picture)[box[0] : box[0] + box[2], box[1] : box[1] + box[3]]
        return tf.repeat(part[None], tf.size(chosen), axis=0)

    still = dataclasses.replace(noise_videos(), read=read)
    batch = next(iter(pipeline.training_batches(still, SAMPLING["slow"], 10, SIZE, 0, 0, 1)))
    clip = batch["clip"].numpy()
    assert (clip == clip[:, :1]).all() and (clip[0] != clip[1]).any()


@pytest.mark.parametrize("family", ["single", "slow"])
def test_an_epoch_visits_every_bin_and_starts_in_it(family):
    videos, sampling = moving_videos((250, 100, 3, 52)), SAMPLING[family]
    bins = binned(videos, sampling, 52)
    positions = sampling.starts(tf.constant(videos.frames)).numpy()  # single: the frames
    assert len(bins) == sum(-(-p // 52) for p in positions)
    assert bins.labels.tolist() == np.repeat(np.arange(4), -(-positions // 52)).tolist()
    for row, n in enumerate(positions):  # they tile the starts
        of_video = bins.starts[bins.labels == row]
        assert of_video[0, 0] == 0 and of_video[-1, 1] == n
        assert (of_video[1:, 0] == of_video[:-1, 1]).all() and np.diff(of_video).max() <= 52
    stream = pipeline.training_batches(bins, sampling, len(bins), SIZE, 0, 0, 20)
    for batch in stream:
        index, start = batch["index"].numpy(), batch["clip"].numpy()[:, 0, 0, 0, 0]
        assert sorted(index) == list(range(len(bins)))
        assert (bins.starts[index, 0] <= start).all() and (start < bins.starts[index, 1]).all()
        assert (batch["label"].numpy() == bins.labels[index]).all()


def test_the_papers_bins():
    ten_seconds = moving_videos((250,))
    assert len(binned(ten_seconds, SINGLE, 52)) == 5 and len(binned(ten_seconds, SINGLE, 130)) == 2
    legacy = dataclasses.replace(SAMPLING["slowfast"], legacy=True)
    assert binned(ten_seconds, legacy, 52).starts[-1].tolist() == [156, 186]
    with pytest.raises(InputError, match="--bin_frames"):
        binned(ten_seconds, SAMPLING["trn"], 52)


@pytest.mark.parametrize("share, distinct", [(0.7, 120_711), (0.3, 62_218)])
def test_subsets_of_kinetics(share, distinct):
    """The authors draw with replacement; what they meant is drawn without."""
    videos = 239_888
    theirs = subset_rows(videos, share, 5, legacy=True)
    assert len(theirs) == int(videos * share) and len(np.unique(theirs)) == distinct
    assert (np.diff(theirs) >= 0).all()
    ours = subset_rows(videos, share, 5)
    assert len(ours) == int(videos * share) and (np.diff(ours) > 0).all()
    assert 0 <= ours[0] and ours[-1] < videos
    np.testing.assert_array_equal(ours, subset_rows(videos, share, 5))
    assert (ours != subset_rows(videos, share, 6)).any()


def test_all_is_the_subset_of_share_one_and_none_is_refused():
    for legacy in (False, True):
        assert subset_rows(10, 1.0, 0, legacy).tolist() == list(range(10))
        with pytest.raises(InputError, match="--subset=0.05 of 10 videos"):
            subset_rows(10, 0.05, 0, legacy)


def test_without_flips_nothing_is_mirrored_and_nothing_else_changes():
    videos, ways = noise_videos(), (VIE_AUGMENTATION, replace(VIE_AUGMENTATION, flip=False))
    both = (pipeline.training_batches(videos, SINGLE, 10, SIZE, 0, 0, 1, way) for way in ways)
    flipped, plain = (next(iter(batches))["clip"].numpy() for batches in both)
    mirrored = [(a == b[:, :, ::-1]).all() for a, b in zip(flipped, plain)]
    same = [(a == b).all() for a, b in zip(flipped, plain)]
    assert any(mirrored) and any(same) and all(np.logical_xor(mirrored, same))
