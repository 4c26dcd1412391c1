"""Linear read-out of features that are computed once, by logistic regression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from sklearn.linear_model import LogisticRegression

# Inverse strengths of the L2 penalty to choose from, for clips whose features have length 1.
STRENGTHS = (0.05, 0.5, 5.0, 50.0)
# Features with more values than this are projected onto the span of this many training clips.
LANDMARKS = 2048
_ROWS = 1024  # clips read at once


def linear_probabilities(
    train: np.ndarray,
    train_videos: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    test_videos: np.ndarray,
    classes: int,
    seed: int = 0,
) -> np.ndarray:
    """Returns test videos' probabilities by a softmax classifier fitted to the training clips.

    The penalty is the one that does best on the middle clips of a held-out fifth of the training
    videos. If none is held out, since one video of each class stays, it is a middle one. The final
    fit uses all clips, each weighted by its share of its video, so that the penalty weighs as much
    as when it was chosen. A test video's probabilities are the mean over its clips (paper's
    five-clip test). Values have mean 0 and variance 1 over the training clips.

    The weights of such a classifier lie in the span of the training clips, so if a clip has more
    than `LANDMARKS` values but there are no more clips than that, their coordinates in the span
    give the same classifier from fewer numbers. With more clips, the span of that many random ones
    bounds time and memory; it loses the directions that few clips have.

    Args:
        train: float32 [K, D], features of the training clips; may lie on disk (`np.memmap`).
        train_videos: int64 [K], row of each clip's video, ascending.
        labels: int64 [N], of the training videos; two classes or more.
        test: float32 [L, D].
        test_videos: int64 [L], as `train_videos`, each of 0..M-1.
        classes: C; labels are below it.
        seed: of the choice of the fifth, and of the spanning clips.

    Returns:
        float32 [M, C], 0 where a class has no training video.
    """
    coordinates, values = coordinates_of(train, seed, LANDMARKS), train.shape[1]
    train, test = coordinates(train), coordinates(test)
    middle = _middle_clips(train_videos)
    draw = np.random.default_rng(seed).permutation(len(labels))
    order = np.argsort(-draw)
    kept = draw < len(labels) / 5
    kept[order[np.unique(labels[order], return_index=True)[1]]] = False  # one of each class stays

    def right(penalised: float) -> float:
        fitted = _fit(train[middle[~kept]], labels[~kept], penalised)
        return fitted.score(train[middle[kept]], labels[kept])

    strengths = [strength / values for strength in STRENGTHS]
    chosen = max(strengths, key=right) if kept.any() else strengths[len(strengths) // 2]
    share = 1 / np.bincount(train_videos)[train_videos]
    fitted = _fit(train, labels[train_videos], chosen, share)
    of_clips = fitted.predict_proba(test)
    found = np.zeros((test_videos[-1] + 1, classes), np.float32)
    found[:, fitted.classes_] = _means(of_clips, test_videos)
    return found


@dataclass(frozen=True)
class Coordinates:
    """Maps the features of clips to the numbers that the classifier sees.

    Attributes:
        mean, scale: float32 [D]; a value becomes (value - mean) / scale.
        basis: float32 [D, R], orthonormal columns; None: no projection.
    """

    mean: np.ndarray
    scale: np.ndarray
    basis: np.ndarray | None = None

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Maps float32 [K, D] to float32 [K, R], read piece by piece."""
        pieces = ((piece - self.mean) / self.scale for piece in _pieces(features))
        if self.basis is not None:
            pieces = (piece @ self.basis for piece in pieces)
        return np.concatenate(list(pieces))


def coordinates_of(clips: np.ndarray, seed: int, most: int) -> Coordinates:
    """Returns the coordinates for training clips, float32 [K, D]: at most `most` of them."""
    count, values = clips.shape
    total, squares = np.zeros((2, values))
    for piece in _pieces(clips):
        piece = piece - clips[0]  # so that large values with little spread keep their precision
        total += piece.sum(axis=0, dtype=np.float64)
        squares += np.einsum("ij,ij->j", piece, piece)
    spread = np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0))
    spread[spread == 0] = 1
    mean = clips[0] + total / count
    plain = Coordinates(mean.astype(np.float32), spread.astype(np.float32))
    if values <= most:
        return plain
    drawn = np.random.default_rng((seed, 1)).permutation(count)[:most]
    landmarks = plain(clips[np.sort(drawn)])
    # Left singular vectors from the products of the clips, which are fewer than the values.
    power, vectors = np.linalg.eigh(landmarks @ landmarks.T)
    used = power > 1e-6 * power[-1]
    basis = landmarks.T @ (vectors[:, used] / np.sqrt(power[used]))
    return replace(plain, basis=basis)


def _pieces(clips: np.ndarray) -> Iterator[np.ndarray]:
    return (clips[first : first + _ROWS] for first in range(0, len(clips), _ROWS))


def _fit(
    coordinates: np.ndarray, labels: np.ndarray, strength: float, share: np.ndarray | None = None
) -> LogisticRegression:
    regression = LogisticRegression(C=strength, tol=1e-3, max_iter=2000)
    return regression.fit(coordinates, labels, share)


def _middle_clips(videos: np.ndarray) -> np.ndarray:
    """Returns the row of each video's middle clip, int64 [N]."""
    counts = np.bincount(videos)
    return np.cumsum(counts) - counts + counts // 2


def _means(rows: np.ndarray, videos: np.ndarray) -> np.ndarray:
    """Averages over each video's clips, [L, C] to [M, C]."""
    counts = np.bincount(videos)
    return np.add.reduceat(rows, np.cumsum(counts) - counts) / counts[:, None]
