"""Nearest rows and k-means by ourselves and by others: the subjects of local_aggregation.py.

The rows are noisy copies of 4,000 points on the unit sphere, the queries rows with noise.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

DIMENSION, CENTRES, BATCH = 128, 4000, 128
ITERATIONS = 5  # of k-means


def parts(count: int, seed: int) -> Iterator[np.ndarray]:
    """`count` rows of unit norm, float32 [n, 128] at a time."""
    centres = np.random.default_rng(0).standard_normal((CENTRES, DIMENSION), np.float32)
    rng = np.random.default_rng(seed)
    for start in range(0, count, 100_000):
        part = 0.8 * rng.standard_normal((min(100_000, count - start), DIMENSION), np.float32)
        part += centres[rng.integers(CENTRES, size=len(part))]
        yield part / np.linalg.norm(part, axis=1, keepdims=True)


def unit_rows(count: int, seed: int) -> np.ndarray:
    """The same, all at once."""
    return np.concatenate(list(parts(count, seed)))


def make_step(task: str, system: str, rows: int, k: int, threads: int):
    """Rows, and a step: a function that returns a number by which results can be compared.

    Args:
        task: `neighbours` finds the k nearest rows of a batch of 128, and returns the sum of their
            similarities; `kmeans` takes 5 iterations with k clusters, and returns the sum of
            squared distances to the nearest centre.
        system: `vie_tf`, `tensorflow`, `faiss` or `sklearn`.
        rows: N.
        k: K, or the number of clusters.
        threads: of the processor.
    """
    return rows, globals()[f"_{task}_{system}"](rows, k, threads)


def _tensorflow(threads: int):
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    return tf


def _neighbours_vie_tf(rows: int, k: int, threads: int):
    tf = _tensorflow(threads)

    from vie_tf.objectives.neighbours import nearest_rows

    queries, bank = tf.constant(unit_rows(BATCH, 2)), tf.Variable(tf.zeros((rows, DIMENSION)))
    first = 0
    for part in parts(rows, 1):  # as a bank's rows are written, and never twice in memory
        bank.scatter_update(tf.IndexedSlices(part, tf.range(first, first + len(part))))
        first += len(part)

    @tf.function
    def step():
        return tf.reduce_sum(nearest_rows(queries, bank, k)[0])

    return step


def _neighbours_tensorflow(rows: int, k: int, threads: int):
    tf = _tensorflow(threads)
    queries, bank = tf.constant(unit_rows(BATCH, 2)), tf.Variable(unit_rows(rows, 1))

    @tf.function
    def step():
        similarities = tf.matmul(queries, bank, transpose_b=True)
        return tf.reduce_sum(tf.math.top_k(similarities, k, sorted=False).values)

    return step


def _neighbours_faiss(rows: int, k: int, threads: int):
    import faiss

    faiss.omp_set_num_threads(threads)
    queries, index = unit_rows(BATCH, 2), faiss.IndexFlatIP(DIMENSION)
    index.add(unit_rows(rows, 1))
    return lambda: index.search(queries, k)[0].sum(dtype=np.float64)


def _neighbours_sklearn(rows: int, k: int, threads: int):
    from sklearn.neighbors import NearestNeighbors

    queries = unit_rows(BATCH, 2)
    search = NearestNeighbors(n_neighbors=k, algorithm="brute", metric="cosine", n_jobs=threads)
    search.fit(unit_rows(rows, 1))
    return lambda: (1 - search.kneighbors(queries)[0]).sum(dtype=np.float64)


def _kmeans_vie_tf(rows: int, k: int, threads: int):
    tf = _tensorflow(threads)

    from vie_tf.objectives.clustering import k_means

    points = tf.constant(unit_rows(rows, 1))
    return lambda: k_means([points], k, seed=1234, iterations=ITERATIONS).objective[-1]


def _kmeans_faiss(rows: int, k: int, threads: int):
    import faiss

    faiss.omp_set_num_threads(threads)
    points = unit_rows(rows, 1)

    def step():
        clustering = faiss.Clustering(DIMENSION, k)
        clustering.niter, clustering.seed = ITERATIONS, 1234
        clustering.max_points_per_centroid = 10**7
        clustering.min_points_per_centroid = 1  # no warning
        index = faiss.IndexFlatL2(DIMENSION)
        clustering.train(points, index)
        return index.search(points, 1)[0].sum(dtype=np.float64)

    return step


def _kmeans_sklearn(rows: int, k: int, threads: int):
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
    points = unit_rows(rows, 1)
    model = KMeans(
        k, init="random", n_init=1, max_iter=ITERATIONS, tol=0, random_state=1234, algorithm="lloyd"
    )
    return lambda: model.fit(points).inertia_
