"""Reclusters the memory bank during training, for Local Aggregation."""

from __future__ import annotations

import threading
import time

import numpy as np
import tensorflow as tf

from vie_tf.keras2 import keras
from vie_tf.objectives.clustering import Clusters, k_means
from vie_tf.objectives.memory_bank import MemoryBank
from vie_tf.training.watch import Watch


class Reclustering(keras.callbacks.Callback):
    """Clusters the bank at regular intervals, before or in parallel with the steps that follow.

    With a lag, the clustering of the bank at one step takes effect a fixed number of steps later,
    so that a run's numbers do not depend on how long it takes. Videos that have not been visited
    are in no cluster.

    Args:
        bank: the bank to cluster.
        clusters: receives the labels.
        sizes: number of clusters of each clustering; fewer if there are fewer videos.
        first: the step after which the bank is first clustered.
        every: steps between clusterings.
        lag: steps until one takes effect, below `every`; the first one does at once.
        seed: that of clustering h is `seed + h`.
        watch: gives the step and records the results.
    """

    def __init__(
        self,
        bank: MemoryBank,
        clusters: Clusters,
        sizes: list[int],
        first: int,
        every: int,
        lag: int,
        seed: int,
        watch: Watch,
    ):
        super().__init__()
        self._supports_tf_logs = True  # as in `Watch`
        self.bank, self.clusters, self.sizes = bank, clusters, sizes
        self.first, self.every, self.lag, self.seed = first, every, lag, seed
        self.watch = watch
        self.metrics = {}  # of the last clustering
        self._thread, self._result, self._failed = None, None, None

    def on_train_batch_begin(self, batch, logs=None) -> None:
        step = self.watch.step
        if step < self.first:
            return
        since = (step - self.first) % self.every
        if since == 0:
            self._start()
        if since == self.lag or step == self.first:
            self.finish()
            self.clusters.labels.assign(self.clusters.next_labels)

    def _start(self) -> None:
        parts, numbers = self.bank.snapshot()
        numbers, step = np.concatenate(numbers), self.watch.step

        def work():
            try:
                self._result = self._cluster(parts, numbers, step)
            except BaseException as error:  # raised where training waits for it
                self._failed = error

        if self.lag and step > self.first:
            self._thread = threading.Thread(target=work, daemon=True)
            self._thread.start()
        else:
            work()

    def _cluster(self, parts: list[tf.Tensor], numbers: np.ndarray, step: int):
        """Returns the labels of all videos, the sizes of the filled clusters, and metrics."""
        start = time.perf_counter()
        labels = np.full(self.clusters.labels.shape, -1, np.int64)
        sizes, reseeded = [], 0
        for h, wanted in enumerate(self.sizes):
            k = min(wanted, len(numbers))
            found = k_means(parts, k, self.seed + h)
            labels[numbers, h] = found.labels
            sizes.append(np.bincount(found.labels, minlength=k))
            reseeded += found.reseeded
        sizes = np.concatenate(sizes)
        filled = sizes[sizes > 0]
        metrics = {
            "clusters": len(filled),
            "clusters_empty": len(sizes) - len(filled),
            "clusters_reseeded": reseeded,
            "cluster_smallest": int(filled.min()),
            "cluster_median": float(np.median(filled)),
            "cluster_largest": int(filled.max()),
            "cluster_seconds": time.perf_counter() - start,
            "clustered_step": step,
        }
        return labels, filled, metrics

    def progress(self, metrics: dict[str, float]) -> str:
        """Returns text for the progress line: share of close neighbours, clusters and sizes."""
        said = f"close {metrics['close']:.0%}  "
        if found := self.metrics:  # none yet since the run was resumed
            sizes = [found[f"cluster_{name}"] for name in ("smallest", "median", "largest")]
            said += (
                f"clusters {found['clusters']} ({found['clusters_empty']} empty) of "
                f"{'/'.join(f'{n:g}' for n in sizes)} in {found['cluster_seconds']:.1f} s  "
            )
        return said

    def before_save(self) -> None:
        """Finishes the clustering in progress, so that a checkpoint contains it."""
        self.finish()

    def finish(self) -> None:
        """Waits for the clustering in progress, and records its results."""
        if self._thread:
            self._thread.join()
            self._thread = None
        if self._failed:
            raise self._failed
        if self._result is None:
            return
        labels, sizes, self.metrics = self._result
        self._result = None
        self.clusters.next_labels.assign(labels)
        # Recorded at the first step that may use it: resuming drops records after the checkpoint.
        step = self.metrics["clustered_step"] + 1
        self.watch.record(self.metrics, step, {"cluster_sizes": sizes})
