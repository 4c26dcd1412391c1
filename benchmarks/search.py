"""Nearest rows and k-means by ourselves and by others: the subjects of local_aggregation.py.

The rows are noisy copies of 4,000 points on the unit sphere, the queries rows with noise.
"""

from __future__ import annotations

import numpy as np

DIMENSION, CENTRES, BATCH = 128, 4000, 128


def unit_rows(count: int, seed: int) -> np.ndarray:
    """float32 [count, 128] of unit norm."""
    centres = np.random.default_rng(0).standard_normal((CENTRES, DIMENSION), np.float32)
    rng = np.random.default_rng(seed)
    rows = np.empty((count, DIMENSION), np.float32)
    for start in range(0, count, 100_000):
        part = rows[start : start + 100_000]
        rng.standard_normal(dtype=np.float32, out=part)
        part *= 0.8
        part += centres[rng.integers(CENTRES, size=len(part))]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return rows


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
    return rows, globals()[f"_{task}_{system}"](unit_rows(rows, 1), k, threads)


ITERATIONS = 5


def _tensorflow(threads: int):
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    return tf


def _neighbours_vie_tf(rows: np.ndarray, k: int, threads: int):
    tf = _tensorflow(threads)

    from vie_tf.objectives.neighbours import nearest_rows

    queries, bank = tf.constant(unit_rows(BATCH, 2)), tf.Variable(rows)
    bank.scatter_update(tf.IndexedSlices(rows[:1], tf.constant([0])))  # as a bank's is

    @tf.function
    def step():
        return tf.reduce_sum(nearest_rows(queries, bank, k)[0])

    return step


def _neighbours_tensorflow(rows: np.ndarray, k: int, threads: int):
    tf = _tensorflow(threads)
    queries, bank = tf.constant(unit_rows(BATCH, 2)), tf.Variable(rows)

    @tf.function
    def step():
        similarities = tf.matmul(queries, bank, transpose_b=True)
        return tf.reduce_sum(tf.math.top_k(similarities, k, sorted=False).values)

    return step


def _neighbours_faiss(rows: np.ndarray, k: int, threads: int):
    import faiss

    faiss.omp_set_num_threads(threads)
    queries, index = unit_rows(BATCH, 2), faiss.IndexFlatIP(DIMENSION)
    index.add(rows)
    return lambda: index.search(queries, k)[0].sum(dtype=np.float64)


def _neighbours_sklearn(rows: np.ndarray, k: int, threads: int):
    from sklearn.neighbors import NearestNeighbors

    queries = unit_rows(BATCH, 2)
    search = NearestNeighbors(n_neighbors=k, algorithm="brute", metric="cosine", n_jobs=threads)
    search.fit(rows)
    return lambda: (1 - search.kneighbors(queries)[0]).sum(dtype=np.float64)


def _kmeans_vie_tf(rows: np.ndarray, k: int, threads: int):
    tf = _tensorflow(threads)

    from vie_tf.objectives.clustering import k_means

    points = tf.constant(rows)
    return lambda: k_means([points], k, seed=1234, iterations=ITERATIONS).objective[-1]


def _kmeans_faiss(rows: np.ndarray, k: int, threads: int):
    import faiss

    faiss.omp_set_num_threads(threads)

    def step():
        clustering = faiss.Clustering(DIMENSION, k)
        clustering.niter, clustering.seed = ITERATIONS, 1234
        clustering.max_points_per_centroid = 10**7
        clustering.min_points_per_centroid = 1  # no warning
        index = faiss.IndexFlatL2(DIMENSION)
        clustering.train(rows, index)
        return index.search(rows, 1)[0].sum(dtype=np.float64)

    return step


def _kmeans_sklearn(rows: np.ndarray, k: int, threads: int):
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
    model = KMeans(
        k, init="random", n_init=1, max_iter=ITERATIONS, tol=0, random_state=1234, algorithm="lloyd"
    )
    return lambda: model.fit(rows).inertia_
