"""The rule by which the golden fixtures' inputs are made again from names, shapes and seeds.

The fixtures (`<name>.json` and `<name>.npz` in one folder) hold numbers that the authors' published
TensorFlow 1 code (github.com/neuroailab/VIE, commit 629e3a9) produced on a CPU. They hold neither
weights nor videos: every variable follows from its TF1 checkpoint name (without `:0`), its TF1
shape and the set's seed S, every input clip from a kind, a shape and a seed given in the json.

`VIE_GOLDEN_DIR` names the folder to test against (default: `golden` beside this file). Any other
set has the same structure and another S, so no number of the default set belongs in a test.

The streams are numpy's legacy ones (`RandomState`): the same in numpy 1.18 to 2.x.
"""

from __future__ import annotations

import functools
import json
import os
import re
import zlib
from pathlib import Path

import numpy as np

FOLDER = Path(os.environ.get("VIE_GOLDEN_DIR") or Path(__file__).parent / "golden")


def load(name: str) -> tuple[dict | list, dict[str, np.ndarray]]:
    """Reads fixture `name`: the content of its json and the arrays of its npz, if it has one."""
    facts = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    arrays = FOLDER / f"{name}.npz"
    if not arrays.exists():
        return facts, {}
    with np.load(arrays) as file:
        return facts, {key: file[key] for key in file.files}


def _draws(name: str, seed: int) -> np.random.RandomState:
    return np.random.RandomState((zlib.crc32(name.encode("utf-8")) + seed) & 0xFFFFFFFF)


def variable(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Makes one variable.

    Args:
        name: TF1 checkpoint name; its last path component picks the distribution.
        shape: TF1 shape (kernels end in in, out; transpose afterwards for another layout).
        seed: S of the set, see `set_seed`.

    Returns:
        float32 array: kernels normal with variance 2 / fan_in (fan_in: all dimensions but the
        last), gamma 1 + 0.1 normal, beta, bias and moving_mean 0.1 normal, moving_variance uniform
        in 0.5..1.5, memory_bank rows on the unit sphere. What the rule does not name starts at zero
        in the original (momentum slots, global_step, all_labels) or is in the npz (cluster labels).
    """
    draws = _draws(name, seed)
    kind = name.rsplit("/", 1)[-1]
    if kind == "kernel":
        scale = np.float32(np.sqrt(2 / np.prod(shape[:-1])))
        return draws.standard_normal(shape).astype(np.float32) * scale
    if kind == "gamma":
        return (1 + 0.1 * draws.standard_normal(shape)).astype(np.float32)
    if kind in ("beta", "moving_mean", "bias"):
        return (0.1 * draws.standard_normal(shape)).astype(np.float32)
    if kind == "moving_variance":
        return draws.uniform(0.5, 1.5, size=shape).astype(np.float32)
    if kind == "memory_bank":
        rows = draws.standard_normal(shape)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    raise ValueError(f"the rule has no value for a variable called {name}")


def clip(kind: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Makes a batch of clips, uint8 [B, (T,) H, W, 3]; call it as `clip(**case['input'])`.

    Kind 'noise' draws every value; 'blocks' draws one colour for each 8x8 block of pixels.
    """
    draws = np.random.RandomState(seed)
    if kind == "noise":
        return draws.randint(0, 256, size=tuple(shape)).astype(np.uint8)
    if kind == "blocks":
        *lead, height, width, channels = shape
        size = (*lead, -(-height // 8), -(-width // 8), channels)
        blocks = draws.randint(0, 256, size=size).astype(np.uint8)
        return blocks.repeat(8, axis=-3).repeat(8, axis=-2)[..., :height, :width, :]
    raise ValueError(f"the rule has no clip of kind {kind}")


def samples(values: np.ndarray, count: int = 32) -> np.ndarray:
    """Returns the values at the positions of the fixtures' `samples` lists (256 for `NN/` arrays).

    Positions count through the tensor in C order, in the original's axis order N, C, (T,) H, W.
    """
    flat = np.asarray(values).reshape(-1)
    return flat[np.linspace(0, flat.size - 1, count).astype(np.int64)]


@functools.cache
def set_seed() -> int:
    """Finds the set's seed S: `VIE_GOLDEN_SEED`, else the folder's README.md, else the data."""
    if os.environ.get("VIE_GOLDEN_SEED"):
        return int(os.environ["VIE_GOLDEN_SEED"])
    readme = FOLDER / "README.md"
    said = readme.exists() and re.search(r"seed S = (\d+)", readme.read_text(encoding="utf-8"))
    return int(said.group(1)) if said else _seed_of_knn()


def _seed_of_knn(rows: int = 24, limit: int = 1 << 17) -> int:
    """Tries seeds until the bank's first rows lie where knn.npz says they lie.

    Of the first rows, those among a query's listed neighbours must all be nearer than the others.
    """
    facts, arrays = load("knn")
    k = max(case["k"] for case in facts["cases"])
    queries, neighbours = arrays["queries"], arrays[f"k{k}/neighbours"]
    near = (neighbours[:, :, None] == np.arange(rows)).any(axis=1)
    for seed in range(limit):
        # The stream is drawn in row order, so a shorter bank is the beginning of the real one.
        bank = variable("instance/memory_bank", (rows, queries.shape[1]), seed)
        similarities = queries @ bank.T
        farthest_in = np.where(near, similarities, np.inf).min(axis=1)
        nearest_out = np.where(near, -np.inf, similarities).max(axis=1)
        if (farthest_in > nearest_out - 1e-6).all():
            return seed
    raise ValueError(f"no seed below {limit} made {FOLDER}: set VIE_GOLDEN_SEED")
