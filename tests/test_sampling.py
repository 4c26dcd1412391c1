"""Frame sampling against what the authors' loader draws, and what it should draw."""

import dataclasses
import functools

import golden_rule
import numpy as np
import pytest
import tensorflow as tf

from vie_tf.data.sampling import HalfSeconds, Offsets, Window
from vie_tf.errors import InputError
from vie_tf.models.families import FAMILIES, sampling_of

SAMPLING = {name: sampling_of(name) for name in FAMILIES}
SINGLE = SAMPLING["single"]
GOLDEN = golden_rule.load("sampling")[0]["families"]
AUTHORS = {
    "single_frame": SINGLE,
    "3dresnet": SAMPLING["resnet3d"],
    "slow": SAMPLING["slow"],
    "slowfast_a4": SAMPLING["slowfast"],
    "tsrn_f4": SAMPLING["trn"],
    "tsrn_f8": SAMPLING["relation"],
    "fast": Window(32, 2, loops=False),  # their loader's default, of no family of the paper
}
CASES = [(family, n) for family, facts in GOLDEN.items() for n in facts if "train" in facts[n]]


def spaced(sampling, n, clips):
    return sampling.spaced(tf.constant(n, tf.int64), clips).numpy()


@functools.cache
def drawer(sampling, count):
    seeds = tf.stack([tf.range(count), tf.fill(count, 3)], axis=1)
    return tf.function(
        lambda n: tf.map_fn(lambda s: sampling.random(n, s), seeds, fn_output_signature=tf.int64)
    )


def draws(sampling, n, count=1000):
    """int64 [count, F]: clips of as many seeds."""
    return drawer(sampling, count)(tf.constant(n, tf.int64)).numpy()


@pytest.mark.parametrize("family, length", CASES)
def test_validation_frames_are_the_authors(family, length):
    legacy = dataclasses.replace(AUTHORS[family], legacy=True)
    for clips in (5, 2):
        ours = spaced(legacy, int(length), clips).ravel() + 1  # theirs count from 1
        assert ours.tolist() == GOLDEN[family][length][f"val_groups{clips}"]


@pytest.mark.parametrize("family, length", CASES)
def test_training_frames_are_the_authors(family, length):
    """As often as 1000 draws of each can tell."""
    theirs = GOLDEN[family][length]["train"]
    clips = draws(dataclasses.replace(AUTHORS[family], legacy=True), int(length)) + 1
    first, reach = clips[:, 0], theirs["first_max"] - theirs["first_min"]
    slack = 0.02 * reach
    assert abs(first.min() - theirs["first_min"]) <= slack
    assert abs(first.max() - theirs["first_max"]) <= slack
    assert abs(clips.max() - theirs["any_max"]) <= slack
    # Standard errors of two means of 1000 uniform draws: reach / sqrt(12) * sqrt(2 / 1000).
    assert abs(first.mean() - theirs["first_mean"]) <= 4 * 0.0129 * reach + 1e-9
    assert np.unique(np.diff(clips)).tolist() == theirs["steps"]


@pytest.mark.parametrize("family", {sampling: name for name, sampling in SAMPLING.items()}.values())
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("n", [1, 3, 15, 16, 17, 48, 49, 60, 61, 65, 250])
def test_frames_are_of_the_video_and_of_the_seed(family, legacy, n):
    sampling = sampling_of(family, legacy)
    drawn, tests = draws(sampling, n, 50), spaced(sampling, n, 5)
    assert drawn.shape == (50, sampling.frames) and tests.shape == (5, sampling.frames)
    assert drawn.dtype == tests.dtype == np.int64
    for frames in (drawn, tests, spaced(sampling, n, 1)):
        assert frames.min() >= 0 and frames.max() < n
    np.testing.assert_array_equal(drawn, draws(sampling, n, 50))
    if n == 250:
        assert len(np.unique(drawn, axis=0)) > 30


@pytest.mark.parametrize("family", [f for f, s in SAMPLING.items() if isinstance(s, Window)])
def test_windows(family):
    sampling = SAMPLING[family]
    whole = (sampling.frames - 1) * sampling.interval + 1  # frames from a clip's first to its last
    for n in (whole, whole + 1, whole + 5, 250):
        for clips in (draws(sampling, n), spaced(sampling, n, 5)):
            assert (np.diff(clips) == sampling.interval).all()
        clips = draws(sampling, n, 3000)
        assert clips.min() == 0 and clips.max() == n - 1
    counts = np.bincount(draws(sampling, whole + 11, 3000)[:, 0])
    assert len(counts) == 12 and counts.min() > 180 and counts.max() < 320
    if whole > 1:
        clips = draws(sampling, whole - 1)
        assert (np.diff(clips) < 0).any() and set(clips[:, 0]) == set(range(whole - 1))
        np.testing.assert_array_equal(np.diff(clips) % (whole - 1), sampling.interval)


def test_test_clips_are_evenly_spaced_over_all_starts():
    assert spaced(SINGLE, 250, 5).ravel().tolist() == [25, 75, 125, 175, 225]
    starts = spaced(SAMPLING["slowfast"], 250, 5)[:, 0]  # 190 starts
    assert starts.tolist() == [19, 57, 95, 133, 171]
    assert spaced(SAMPLING["resnet3d"], 250, 1)[0, 0] == 235 // 2


@pytest.mark.parametrize("bins", [4, 8])
def test_half_seconds(bins):
    sampling = HalfSeconds(bins)
    clips = draws(sampling, 250, 3000)
    number = clips // 12
    assert (np.diff(number) == 1).all() and set(number[:, 0]) == set(range(21 - bins + 1))
    assert clips.min() == 0 and clips.max() == 249
    assert set(clips[number < 20] % 12) == set(range(12))
    tests = spaced(sampling, 250, 5)
    assert (np.diff(tests, axis=0)[:, 0] > 0).all()
    middles = np.where(tests // 12 == 20, 245, tests // 12 * 12 + 6)
    np.testing.assert_array_equal(tests, middles)
    short = draws(sampling, bins + 1)  # bins of one frame
    assert (np.diff(short) == 1).all()


def test_frames_of_order_prediction():
    """Four frames over 9 or 15, as often, that start anywhere."""
    drawn = draws(SAMPLING["opn"], 40, 3000)
    spans, counts = np.unique(np.diff(drawn), axis=0, return_counts=True)
    assert spans.tolist() == [[3, 3, 3], [5, 5, 5]] and counts.min() > 1400
    for span in (9, 15):
        starts = drawn[drawn[:, 3] - drawn[:, 0] == span, 0]
        assert set(starts) == set(range(40 - span))
    assert (np.diff(spaced(SAMPLING["opn"], 40, 5)) == 5).all()
    assert spaced(SAMPLING["opn"], 40, 5)[:, 0].tolist() == [2, 7, 12, 17, 22]


def test_sixteen_frames_a_second():
    """Of 25: each frame is the last one at its time, so that the clip lasts as long."""
    drawn = draws(SAMPLING["rotnet3d"], 100)
    assert (drawn - drawn[:, :1] == np.floor(np.arange(16) / 16 * 25)).all()
    assert drawn.min() == 0 and drawn.max() == 99


def test_legacy_half_seconds_bunch_where_the_fixed_ones_spread():
    legacy, fixed = (sampling_of("trn", legacy=on) for on in (True, False))
    assert len(np.unique(spaced(legacy, 64, 5), axis=0)) == 1
    assert len(np.unique(spaced(fixed, 64, 5), axis=0)) == 3  # all there are


def test_an_unknown_family_is_named():
    with pytest.raises(InputError, match="--family=slwo: unknown"):
        sampling_of("slwo")


def test_interval_of_a_run():
    sampling = sampling_of("slow", interval=3)
    clips = sampling.spaced(tf.constant(20, tf.int64), 2).numpy()
    assert (np.diff(clips) == 3).all()
    for family in ("single", "trn"):
        with pytest.raises(InputError, match=f"--frame_interval.*{family}"):
            sampling_of(family, interval=3)


@pytest.mark.parametrize("name", SAMPLING)
@pytest.mark.parametrize("n", [1, 15, 16, 17, 32, 61, 64, 124, 125, 160, 250])
@pytest.mark.parametrize("legacy", [False, True])
def test_consecutive_clips_follow_each_other(name, n, legacy):
    """All of them: none overlaps another, and no further one fits."""
    sampling = dataclasses.replace(SAMPLING[name], legacy=legacy)
    clips = sampling.consecutive(tf.constant(n, tf.int64)).numpy()
    assert clips.shape[1:] == (sampling.frames,) and 0 <= clips.min() and clips.max() < n
    if isinstance(sampling, HalfSeconds):
        length = np.clip(n // sampling.frames, 1, sampling.length)
        assert len(clips) == max(1, -(-n // length) // sampling.frames)
        if n >= sampling.frames:
            assert (np.diff(clips.ravel()) > 0).all()
        return
    if isinstance(sampling, Offsets):
        starts = [*range(0, n - sampling.shortest + 1, sampling.shortest)]
        if n >= sampling.shortest:
            assert clips[:, 0].tolist() == starts and (clips[:, -1] < [*starts[1:], n]).all()
        return
    span = sampling.frames * sampling.interval
    reach = span - sampling.interval + 1
    fit = [start for start in range(0, n, span) if start + reach <= n] or [0]
    expected = np.array(fit)[:, None] + np.arange(sampling.frames) * sampling.interval
    np.testing.assert_array_equal(clips, expected % n)


def test_sixteen_frame_clips():
    clips = Window(16).consecutive(tf.constant(250, tf.int64)).numpy()
    assert clips.ravel().tolist() == list(range(240))
