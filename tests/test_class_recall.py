"""Recall at k and mean average precision of classes, against scikit-learn and the definition."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier

from vie_tf.errors import InputError
from vie_tf.evaluation import class_recall as module
from vie_tf.evaluation.class_recall import AT, class_recall
from vie_tf.evaluation.knn import wilson_interval


def sphere(draws, count, size=8):
    rows = draws.standard_normal((count, size))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def sets():
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 12, 40), draws.integers(0, 12, 200)
    return sphere(draws, 40), labels[0], sphere(draws, 200), labels[1]


def test_against_scikit_learn(sets):
    queries, labels, gallery, gallery_labels = sets
    found = class_recall(*sets)
    scores = queries @ gallery.T
    wanted = [
        average_precision_score(gallery_labels == label, row) for label, row in zip(labels, scores)
    ]
    assert found["map"] == pytest.approx(np.mean(wanted), abs=1e-6)
    search = KNeighborsClassifier(metric="cosine", algorithm="brute").fit(gallery, gallery_labels)
    for k in AT:
        rows = search.kneighbors(queries, k, return_distance=False)
        hit = (gallery_labels[rows] == labels[:, None]).any(axis=1)
        assert found[f"class_recall_at_{k}"] == hit.mean()
    assert 0 < found["class_recall_at_1"] < found["class_recall_at_20"] < 1
    assert found["videos"] == 40
    low, high = wilson_interval(round(40 * found["class_recall_at_1"]), 40)
    assert (found["class_recall_at_1_low"], found["class_recall_at_1_high"]) == (low, high)


def test_in_blocks(sets, monkeypatch):
    whole = class_recall(*sets)
    monkeypatch.setattr(module, "_BLOCK", 7 * 200)
    assert class_recall(*sets) == pytest.approx(whole)


def test_by_hand():
    """Right, wrong, right, wrong: hits from 1 on, precisions 1 and 2/3."""
    angles = np.radians([0, 10, 20, 30, 40])
    rows = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    found = class_recall(rows[:1], [3], rows[1:], [3, 1, 3, 1])
    assert found["class_recall_at_1"] == 1 and found["map"] == pytest.approx((1 + 2 / 3) / 2)
    found = class_recall(rows[:1], [3], rows[1:], [1, 3, 1, 3])
    assert found["class_recall_at_1"] == 0 and found["class_recall_at_5"] == 1
    assert found["map"] == pytest.approx((1 / 2 + 2 / 4) / 2)


def test_a_collapsed_network_has_no_hits():
    rows = np.ones((50, 4), np.float32) / 2
    labels = np.arange(50) % 2
    found = class_recall(rows, labels, rows, labels)
    assert not any(found[f"class_recall_at_{k}"] for k in AT)
    assert found["map"] == pytest.approx(0.5)


def test_unknown_labels_take_no_part(sets):
    queries, labels, gallery, gallery_labels = sets
    asked, shown = labels != 3, gallery_labels != 4
    alone = class_recall(queries[asked], labels[asked], gallery[shown], gallery_labels[shown])
    labels, gallery_labels = np.where(asked, labels, -1), np.where(shown, gallery_labels, -1)
    found = class_recall(queries, labels, gallery, gallery_labels)
    assert found == alone and found["videos"] == asked.sum() < 40
    # No row has class 4: such queries are missed, and count.
    missed = class_recall(queries[labels == 4], labels[labels == 4], gallery, gallery_labels)
    assert missed["map"] == 0 and missed["class_recall_at_20"] == 0 and missed["videos"] > 0


def test_a_diverged_network(sets):
    with pytest.raises(InputError, match="diverged"):
        class_recall(sets[0] * np.nan, *sets[1:])
