"""As gpu_steps.py, in PyTorch: its eager twins' steps, neighbours and k-means as one writes them.

    PYTHON -m benchmarks.gpu_torch [tiny] FAMILY:BATCH [FAMILY:BATCH ..]

Runs in PyTorch's own environment. Channels last, bfloat16 by autocast, cuDNN's benchmark mode.
"""

from __future__ import annotations

import json
import sys
import time

import torch
from torch.nn import functional

from benchmarks import shapes, torch_twins
from benchmarks.timing import milliseconds

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SECONDS, ROWS, CLUSTERS, ITERATIONS = 2.0, 240_000, 8000, 20


def main(*words: str) -> None:
    """Times the families that the words name, then neighbours and k-means."""
    tiny = words[0] == "tiny"
    seconds, rows = (0.05, 20_000) if tiny else (SECONDS, ROWS)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    print(json.dumps({"what": f"PyTorch {torch.__version__}", "ms": 0}), flush=True)
    for what in words[tiny:]:
        family, batch = what.split(":")
        frames, size = shapes.CLIPS[family]
        batch, size = (2, 32) if tiny else (int(batch), size)
        precision = "float32" if tiny else "bfloat16"
        _, step = torch_twins.make_step(family, frames, size, batch, 0, DEVICE, precision)
        taken, _ = milliseconds(step, seconds)
        found = {"what": f"torch:{what}", "ms": taken, "clips_per_second": batch / taken * 1e3}
        print(json.dumps(found), flush=True)
    points = functional.normalize(torch.randn(rows, 128, device=DEVICE), dim=1)
    asked = points[:128]
    for k in (512,) if tiny else (512, 4096):
        taken, _ = milliseconds(
            lambda k=k: (asked @ points.T).topk(k, sorted=False)[0].sum(), seconds
        )
        print(json.dumps({"what": f"torch: neighbours, K {k}", "ms": taken}), flush=True)
    k, iterations = (50, 2) if tiny else (CLUSTERS, ITERATIONS)
    lloyd(points, k, 1)
    start = time.perf_counter()
    float(lloyd(points, k, iterations).sum())
    taken = (time.perf_counter() - start) * 1e3
    print(json.dumps({"what": f"torch: k-means, {k} clusters", "ms": taken}), flush=True)


def lloyd(points: torch.Tensor, k: int, iterations: int) -> torch.Tensor:
    """The centres after k-means from the first points."""
    centres = points[:k].clone()
    for _ in range(iterations):
        half = 0.5 * (centres * centres).sum(1)
        labels = torch.cat([(x @ centres.T - half).argmax(1) for x in points.split(30_000)])
        sums = torch.zeros_like(centres).index_add_(0, labels, points)
        centres = sums / torch.bincount(labels, minlength=k).clamp(min=1)[:, None]
    return centres


if __name__ == "__main__":
    main(*sys.argv[1:])
