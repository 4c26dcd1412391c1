"""When the memory bank is clustered anew, for Local Aggregation."""

from __future__ import annotations

import threading
import time

import numpy as np
import tensorflow as tf
from tensorflow import keras

from vie_tf.objectives.clustering import Clusters, k_means
from vie_tf.objectives.memory_bank import MemoryBank
from vie_tf.training.watch import Watch


class Reclustering(keras.callbacks.Callback):
    """Clusters the bank after every so many steps, in place or beside the steps that follow.

    With a lag the clustering of the bank at one step takes effect a fixed number of steps later,
    so that a run's numbers do not depend on how long it takes. Videos that have not been visited
    are in no cluster.

    Args:
        bank: what is clustered.
        clusters: where it goes.
        sizes: number of clusters of each clustering; fewer where there are fewer videos.
        first: the step after which there is the first clustering.
        every: steps from clustering to clustering.
        lag: steps until it takes effect, below `every`; the first one does at once.
        seed: that of clustering h is `seed + h`.
        watch: knows the step, and is told what came out.
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
        self._supports_tf_logs = True  # as `Watch`
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
            except BaseException as error:  # shown where training waits for it
                self._failed = error

        if self.lag and step > self.first:
            self._thread = threading.Thread(target=work, daemon=True)
            self._thread.start()
        else:
            work()

    def _cluster(self, parts: list[tf.Tensor], numbers: np.ndarray, step: int):
        """Labels of all videos, sizes of the clusters that are not empty, and what to tell."""
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
        """For the progress line: the share of close neighbours, and what the clusters are like."""
        said = f"close {metrics['close']:.0%}  "
        if found := self.metrics:  # none since the run went on
            sizes = [found[f"cluster_{name}"] for name in ("smallest", "median", "largest")]
            said += (
                f"clusters {found['clusters']} ({found['clusters_empty']} empty) of "
                f"{'/'.join(f'{n:g}' for n in sizes)} in {found['cluster_seconds']:.1f} s  "
            )
        return said

    def before_save(self) -> None:
        """A checkpoint has the clustering that is under way."""
        self.finish()

    def finish(self) -> None:
        """Waits for the clustering that is under way, and tells what came out."""
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
        # Under the first step that may use it: what came after a checkpoint is dropped on resuming.
        step = self.metrics["clustered_step"] + 1
        self.watch.record(self.metrics, step, {"cluster_sizes": sizes})
