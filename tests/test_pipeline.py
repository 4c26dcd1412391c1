"""From videos to batches: order, seeds, frames, crops, bins and subsets."""

import dataclasses
import time
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from vie_tf.data import decoding, files, pipeline
from vie_tf.data.augmentation import AUGMENTATIONS, VIE_AUGMENTATION, colour_noise
from vie_tf.data.crops import TEN
from vie_tf.data.frames import Frames
from vie_tf.data.pipeline import TestClips
from vie_tf.data.sampling import binned
from vie_tf.data.splits import subset_rows
from vie_tf.data.videos import VideoSet, open_videos
from vie_tf.errors import InputError
from vie_tf.evaluation import embed as embedding
from vie_tf.models import families

SIZE = 32
SAMPLING = {name: families.sampling_of(name) for name in families.FAMILIES}
SINGLE = SAMPLING["single"]


def in_memory(clip):
    """`VideoSet.read` of pixels, uint8 [T, H, W, 3], that clip(number, chosen, box) gives."""

    def read(number, chosen, box, portable=False):
        return Frames(clip(number, chosen, box), lambda frame: frame, tf.constant(""))

    return read


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
        read=in_memory(read),
    )


def test_every_epoch_is_a_permutation_of_its_own():
    stream = pipeline.training_batches(noise_videos(), SINGLE, 5, SIZE, 7, 0, 8)
    order = np.concatenate([batch["index"] for batch in stream]).reshape(4, 10)
    assert (np.sort(order) == np.arange(10)).all()
    assert len({tuple(epoch) for epoch in order}) == 4


def test_clips_do_not_depend_on_where_the_run_started():
    whole = list(pipeline.training_batches(noise_videos(), SINGLE, 4, SIZE, 7, 0, 6))
    later = list(pipeline.training_batches(noise_videos(), SINGLE, 4, SIZE, 7, 3, 6))
    assert (len(whole), len(later)) == (6, 3)
    for one, other in zip(whole[3:], later):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    others = next(iter(pipeline.training_batches(noise_videos(), SINGLE, 4, SIZE, 8, 0, 6)))
    assert (others["clip"].numpy() != whole[0]["clip"].numpy()).any()
    assert whole[0]["clip"].dtype == tf.uint8 and whole[0]["seed"].shape == (4, 2)


@pytest.mark.parametrize("source", ["memory", "prepared", "digits"])
def test_any_number_of_threads_makes_the_same_batches(source, request, monkeypatch):
    """And any time that reading takes."""
    videos = noise_videos()
    if source != "memory":
        videos = open_videos(str(request.getfixturevalue(source)), "pyav")
    read_frames, read_ranges = decoding.read_frames, files.read_ranges
    waits = iter(np.random.default_rng(0).exponential(0.003, 10_000).tolist())
    under_way, most = [], [0]

    def slowly(read):
        def wait_and_read(*words):
            under_way.append(words)
            most[0] = max(most[0], len(under_way))
            time.sleep(next(waits))
            under_way.pop()
            return read(*words)

        return wait_and_read

    monkeypatch.setattr(decoding, "read_frames", slowly(read_frames))
    monkeypatch.setattr(files, "read_ranges", slowly(read_ranges))

    def batches(threads):
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        options.autotune.enabled = threads > 1
        stream = pipeline.training_batches(videos, SAMPLING["slow"], 4, SIZE, 7, 0, 12)
        return list(stream.with_options(options).as_numpy_iterator())

    alone = batches(1)
    most[0] = 0
    together = batches(16)
    assert source == "memory" or most[0] > 1
    assert len(alone) == len(together) == 12
    for one, many in zip(alone, together):
        for name in one:
            np.testing.assert_array_equal(one[name], many[name])


def test_test_clips_are_all_there_in_order(monkeypatch):
    monkeypatch.setattr(pipeline, "EVALUATION_BATCH", 16)
    stream = list(pipeline.test_batches(noise_videos(), TestClips(SINGLE, SIZE)))
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
        noise_videos(count), frames=np.array(lengths), labels=np.arange(count), read=in_memory(read)
    )


@pytest.mark.parametrize("sampling", dict.fromkeys(SAMPLING.values()), ids=repr)
def test_clips_are_those_of_the_sampling(sampling):
    videos = moving_videos()
    clips = TestClips(sampling, SIZE)
    shape = (15, sampling.frames, SIZE, SIZE, 3)
    whole, *halves = (
        pipeline.test_batches(videos, clips),
        pipeline.first_half_batches(videos, clips),
        pipeline.second_half_batches(videos, clips),
    )
    training = pipeline.training_batches(videos, sampling, 15, SIZE, 0, 0, 1)
    for batches in (whole, *halves, training):
        assert next(iter(batches))["clip"].shape == shape
        assert batches.element_spec["clip"].shape[1:] == shape[1:]
    shown = next(iter(whole))["clip"][:, :, 0, 0, 0]
    for row, n in enumerate(videos.frames):
        np.testing.assert_array_equal(
            shown[5 * row : 5 * row + 5], sampling.spaced(tf.constant(n, tf.int64), 5)
        )
    first, second = (
        next(iter(batches))["clip"].numpy()[:5, :, 0, 0, 0]  # of the first video
        for batches in halves
    )
    assert first.max() < 125 <= second.min()


@pytest.mark.parametrize("family", ["resnet3d", "trn"])
def test_all_clips_of_videos_of_different_lengths(family, monkeypatch):
    monkeypatch.setattr(pipeline, "EVALUATION_BATCH", 7)
    sampling, videos = SAMPLING[family], moving_videos((250, 100, 3))
    clips = TestClips(sampling, SIZE, 0)
    batches = list(pipeline.test_batches(videos, clips))
    index, shown = (
        np.concatenate(column)
        for column in zip(*((b["index"], b["clip"][:, :, 0, 0, 0]) for b in batches))
    )
    counts = clips.counts(videos)
    assert (len(batches[0]["index"]), len(set(counts))) == (7, 3)
    assert index.tolist() == np.repeat(np.arange(3), counts).tolist()
    for row, n in enumerate(videos.frames):
        np.testing.assert_array_equal(shown[index == row], sampling.consecutive(tf.constant(n)))


def test_embeddings_of_all_clips_are_those_of_each_video():
    """Of videos of 15, 6 and 1 clips of 16 frames, by a network that sees the first frame."""
    videos, every = moving_videos((250, 100, 3)), TestClips(SAMPLING["resnet3d"], SIZE, 0)

    def embed(clip):
        return tf.cast(clip[:, 0, 0, 0, :1], tf.float32)

    clips = embedding.embed_clips(embed, videos, every)
    assert [of_video.shape for of_video in clips] == [(15, 1), (6, 1), (1, 1)]
    starts = [16 * np.arange(n) for n in (15, 6, 1)]
    assert all((ours[:, 0] == theirs).all() for ours, theirs in zip(clips, starts))
    means = embedding.clip_means(embed, videos, every)[:, 0]
    np.testing.assert_allclose(means, [start.mean() for start in starts])


def test_ten_crops_of_each_clip():
    videos = noise_videos(3)
    batch = next(iter(pipeline.test_batches(videos, TestClips(SINGLE, SIZE, 2, TEN))))
    assert batch["index"].numpy().tolist() == np.repeat(np.arange(3), 20).tolist()
    views = batch["clip"].numpy().reshape(6, 10, SIZE, SIZE, 3)
    np.testing.assert_array_equal(views[:, 5:], views[:, :5, :, ::-1])
    assert len({view.tobytes() for view in views[0]}) == 10
    centre = next(iter(pipeline.test_batches(videos, TestClips(SINGLE, SIZE, 2))))["clip"][:, 0]
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

    still = dataclasses.replace(noise_videos(), read=in_memory(read))
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
    stream = list(pipeline.training_batches(bins, sampling, len(bins), SIZE, 0, 0, 20))
    assert len(stream) == 20
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
