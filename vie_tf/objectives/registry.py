"""The objectives, by the names of --loss.

To add one, write a file (see `objective.Objective`; tests/toy_objective.py is the shortest) and add
a line here: it then has its flags, and all modes know it.
"""

from __future__ import annotations

from vie_tf.objectives.objective import Objective
from vie_tf.objectives.supervised import Labels, Order, Rotation
from vie_tf.objectives.vie import InstanceRecognition, LocalAggregation, VideoInstanceEmbedding

OBJECTIVES: dict[str, type[Objective]] = {
    "ir": InstanceRecognition,
    "la": LocalAggregation,
    "vie": VideoInstanceEmbedding,
    "supervised": Labels,
    "order": Order,
    "rotation": Rotation,
}
