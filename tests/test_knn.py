import golden_rule
import numpy as np
import pytest

from vie_tf.errors import InputError
from vie_tf.evaluation import knn

TEMPERATURE = 0.07


def unit(values):
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


def spheres(seed=0, videos=7, clips=3, rows=60, size=16, classes=5):
    draws = np.random.default_rng(seed)
    queries = unit(draws.standard_normal((videos, clips, size)))
    bank = unit(draws.standard_normal((rows, size)))
    return queries, bank, draws.integers(0, classes, rows)


def scores_by_definition(queries, bank, labels, classes, k):
    queries, bank = queries.astype(np.float64), bank.astype(np.float64)
    scores = np.zeros((len(queries), classes))
    for video, clips in enumerate(queries):
        for clip in clips:
            similarities = bank @ clip
            for row in np.argsort(-similarities)[:k]:
                weight = np.exp(similarities[row] / TEMPERATURE)
                scores[video, labels[row]] += weight / k / len(clips)
    return scores


FACTS, ARRAYS = golden_rule.load("knn")


@pytest.mark.parametrize("case", FACTS["cases"], ids=lambda c: f"k{c['k']}_{c['num_classes']}")
def test_the_authors_numbers(case):
    k, classes = case["k"], case["num_classes"]
    want = {key: ARRAYS[f"k{k}_classes{classes}/{key}"] for key in ("scores", "pred")}
    flat, labels = ARRAYS["queries"], ARRAYS["all_labels"].astype(np.int64)
    queries = flat.reshape(FACTS["videos"], FACTS["frames"], -1)
    shape = (FACTS["bank_size"], flat.shape[1])
    bank = golden_rule.variable("instance/memory_bank", shape, golden_rule.set_seed())

    neighbours, _ = knn.nearest(flat, bank, k)
    np.testing.assert_array_equal(neighbours, ARRAYS[f"k{k}/neighbours"])
    scores = knn.knn_scores(queries, bank, labels, classes, k, FACTS["temperature"])
    assert scores.dtype == np.float32 and scores.shape == (FACTS["videos"], classes)
    listed = want["scores"].shape[1]
    np.testing.assert_allclose(scores[:, :listed], want["scores"], rtol=1e-5)
    assert not scores[:, listed:].any()
    np.testing.assert_array_equal(scores.argmax(axis=1), want["pred"])
    got = knn.knn_accuracy(
        queries, ARRAYS["labels"], bank, labels, classes, k, FACTS["temperature"]
    )
    assert got["top1"] == pytest.approx(case["accuracy"], abs=1e-6)
    assert got["top1_low"] < got["top1"] < got["top1_high"] or got["top1"] in (0, 1)


@pytest.mark.parametrize("k", [1, 10, 60])
def test_scores_follow_their_definition(k):
    queries, bank, labels = spheres()
    scores = knn.knn_scores(queries, bank, labels, 5, k)
    np.testing.assert_allclose(scores, scores_by_definition(queries, bank, labels, 5, k), rtol=1e-5)


def test_videos_may_have_different_numbers_of_clips():
    """Each counts as one: its score is the mean over its own clips."""
    queries, bank, labels = spheres()
    ragged = [clips[: 1 + video % clips.shape[0]] for video, clips in enumerate(queries)]
    assert len({len(clips) for clips in ragged}) > 1
    scores = knn.knn_scores(ragged, bank, labels, 5)
    for video, clips in enumerate(ragged):
        alone = scores_by_definition(clips[None], bank, labels, 5, 10)
        np.testing.assert_allclose(scores[video : video + 1], alone, rtol=1e-5)
    truth = np.arange(len(ragged)) % 6 - 1  # some unknown
    got = knn.knn_accuracy(ragged, truth, bank, labels, 5)
    known = truth >= 0
    assert got["top1"] == (scores.argmax(axis=1) == truth)[known].mean()


def test_blocks_change_nothing(monkeypatch):
    queries, bank, labels = spheres()
    whole = knn.knn_scores(queries, bank, labels, 5)
    monkeypatch.setattr(knn, "_BLOCK", 4 * len(bank))  # 21 clips, four at a time
    np.testing.assert_allclose(knn.knn_scores(queries, bank, labels, 5), whole, rtol=1e-5)


def test_unvisited_and_unlabelled_rows_take_no_part():
    queries, bank, labels = spheres()
    visited = np.ones(len(bank), bool)
    visited[::3] = False
    labels[1::3] = -1
    used = np.arange(len(bank)) % 3 == 2
    want = scores_by_definition(queries, bank[used], labels[used], 5, 10)
    got = knn.knn_scores(queries, bank, labels, 5, 10, visited=visited)
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_ties_take_the_lower_index():
    bank = unit(np.ones((9, 4)))
    rows, similarities = knn.nearest(bank[:2], bank, 4)
    np.testing.assert_array_equal(rows, [[0, 1, 2, 3]] * 2)
    np.testing.assert_allclose(similarities, 1, rtol=1e-6)
    # With k = 1 the first row's label wins, though eight others have another.
    assert knn.knn_scores(bank[None, :1], bank, [2] + [1] * 8, 3, k=1).argmax() == 2


def test_excluded_row_is_not_found(monkeypatch):
    _, bank, _ = spheres()
    own = np.arange(len(bank))
    monkeypatch.setattr(knn, "_BLOCK", 7 * len(bank))
    np.testing.assert_array_equal(knn.nearest(bank, bank, 1)[0][:, 0], own)
    got, values = knn.nearest(bank, bank, 3, exclude=np.where(own < 50, own, -1))
    similarities = bank.astype(np.float64) @ bank.T
    similarities[own[:50], own[:50]] = -np.inf
    np.testing.assert_array_equal(got, np.argsort(-similarities, axis=1)[:, :3])
    np.testing.assert_allclose(values, np.take_along_axis(similarities, got, 1), atol=1e-6)


def test_accuracy_counts_labelled_videos_only():
    bank = np.eye(4, dtype=np.float32)
    queries = bank[[0, 1, 2, 3]][:, None]
    got = knn.knn_accuracy(queries, [0, 1, 0, -1], bank, [0, 1, 2, 3], 4, k=1)
    assert got["videos"] == 3 and got["top1"] == pytest.approx(2 / 3) and got["k"] == 1
    assert (got["top1_low"], got["top1_high"]) == knn.wilson_interval(2, 3)
    assert (got["top5_low"], got["top5_high"]) == knn.wilson_interval(round(3 * got["top5"]), 3)


def test_wilson_interval():
    # Values of Newcombe 1998, table I.
    for correct, n, want in [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605))]:
        assert knn.wilson_interval(correct, n) == pytest.approx(want, abs=1e-4)
    assert knn.wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
    assert knn.wilson_interval(29, 29) == pytest.approx((0.8830, 1), abs=1e-4)
    assert knn.wilson_interval(0, 0) == (0, 1)


def test_bad_input():
    queries, bank, labels = spheres()
    visited = np.arange(len(bank)) < 4
    with pytest.raises(InputError, match="k is 5, but only 4 of 60"):
        knn.knn_scores(queries, bank, labels, 5, k=5, visited=visited)
    knn.knn_scores(queries, bank, labels, 5, k=4, visited=visited)
    with pytest.raises(InputError, match="5 neighbours among 4"):
        knn.nearest(bank[:1], bank[:4], 5)
    with pytest.raises(InputError, match="4 neighbours among 3"):
        knn.nearest(bank[:1], bank[:4], 4, exclude=[0])
    with pytest.raises(InputError, match="0 neighbours"):
        knn.nearest(bank[:1], bank, 0)
    with pytest.raises(InputError, match="diverged"):
        knn.nearest(bank[:1], np.where(bank == bank[3, 3], np.nan, bank), 1)
    with pytest.raises(InputError, match="label 4 .* 4 classes"):
        knn.knn_scores(queries, bank, labels, 4)
    for temperature in (0, -1, 0.001, float("nan")):
        with pytest.raises(InputError, match="temperature"):
            knn.knn_scores(queries, bank, labels, 5, temperature=temperature)
    with pytest.raises(InputError, match="no test video has a label"):
        knn.knn_accuracy(queries, np.full(len(queries), -1), bank, labels, 5)


def test_lowest_temperature_stays_finite():
    bank = np.eye(3, dtype=np.float32)
    scores = knn.knn_scores(bank[:, None], bank, [0, 1, 2], 3, k=3, temperature=0.02)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores.argmax(axis=1), [0, 1, 2])
