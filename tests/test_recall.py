import numpy as np
import pytest

from vie_tf.evaluation import recall
from vie_tf.evaluation.recall import effective_dimension, recall_at_1


def normal(rows, size, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, size)).astype(np.float32)


def test_perfect_and_shifted():
    gallery = normal(50, 16)
    queries = gallery + 0.05 * normal(50, 16, 1)
    assert recall_at_1(queries, gallery) == 1
    assert recall_at_1(np.roll(queries, 1, axis=0), gallery) == 0


def test_share_of_right_ones_in_blocks(monkeypatch):
    gallery = normal(50, 16)
    queries = gallery + 0.05 * normal(50, 16, 1)
    queries[[3, 20, 41]] = gallery[[4, 0, 40]]
    monkeypatch.setattr(recall, "_BLOCK", 7 * 50)
    assert recall_at_1(queries, gallery) == pytest.approx(47 / 50)


def test_length_of_rows_does_not_matter():
    gallery = normal(50, 16)
    assert recall_at_1(gallery, gallery * np.linspace(0.1, 10, 50)[:, None]) == 1


@pytest.mark.parametrize("size", [3, 128])
def test_collapsed_network_scores_nothing(size):
    row = normal(1, size)
    same = np.repeat(row, 40, axis=0)
    assert recall_at_1(same, same) == 0
    # Scaled copies are one direction: only rounding tells them apart.
    assert recall_at_1(same, same * np.linspace(0.5, 2, 40, dtype=np.float32)[:, None]) == 0
    assert recall_at_1(np.zeros_like(same), np.zeros_like(same)) == 0


def test_noise_scores_chance():
    assert recall_at_1(normal(2000, 8), normal(2000, 8, 1)) < 0.005


def test_own_twin_is_a_tie():
    gallery = normal(10, 8)
    gallery[7] = gallery[2]
    assert recall_at_1(gallery, gallery) == pytest.approx(0.8)


def test_not_a_number_is_wrong():
    gallery = normal(10, 8)
    queries = gallery.copy()
    queries[0, 0] = np.nan
    assert recall_at_1(queries, gallery) == pytest.approx(0.9)
    assert recall_at_1(np.full((5, 3), np.nan), np.full((5, 3), np.nan)) == 0
    assert recall_at_1(np.zeros((0, 3)), np.zeros((0, 3))) == 0


@pytest.mark.parametrize("spectrum", [[1, 1, 1, 1], [4, 1, 0, 0], [9, 3, 2, 0.5], [5, 0, 0, 0]])
def test_dimension_of_a_known_spectrum(spectrum):
    # Rows +-sqrt(l_i) along orthogonal axes have exactly the covariance's eigenvalues ~ l_i.
    axes, _ = np.linalg.qr(normal(4, 4).astype(np.float64))
    half = np.sqrt(spectrum)[:, None] * axes
    rows = np.concatenate([half, -half]) + [3.0, -1.0, 2.0, 0.5]  # the mean does not count
    want = np.sum(spectrum) ** 2 / np.sum(np.square(spectrum))
    assert effective_dimension(rows) == pytest.approx(want, rel=1e-9)


def test_dimension_in_blocks_follows_the_eigenvalues(monkeypatch):
    rows = normal(500, 12) * np.linspace(0.1, 2, 12, dtype=np.float32) + 5
    eigenvalues = np.linalg.eigvalsh(np.cov(rows.astype(np.float64).T))
    want = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    monkeypatch.setattr(recall, "_BLOCK", 12 * 64)
    assert effective_dimension(rows) == pytest.approx(want, rel=1e-6)


def test_dimension_of_a_collapse_is_zero():
    row = normal(1, 128) / np.float32(7)
    same = np.repeat(row, 300, axis=0)
    assert effective_dimension(same) == 0
    assert effective_dimension(np.zeros((10, 4))) == 0
    rounding = np.nextafter(same, same + normal(300, 128, 1))
    assert effective_dimension(rounding) == 0
    assert effective_dimension(row) == 0 and effective_dimension(np.zeros((0, 4))) == 0
    # Small is not collapsed.
    assert effective_dimension(same + 1e-3 * normal(300, 128, 2)) > 50
