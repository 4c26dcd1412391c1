"""Small runs by the command, whose numbers are kept in golden/: no change of the code may move one.

    PYTHONPATH=. python tests/small_runs.py [earlier | twenty]

makes the numbers anew: of the earlier runs, with their folders, or of the runs of 20 steps, or of
both. That is for a change that is meant to change numbers, and for no other.
"""

import contextlib
import io
import json
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
import pytest
import tensorflow as tf
from golden_rule import clip
from words import vie_tf

from vie_tf.models import families, resnet
from vie_tf.training.watch import Watch

GOLDEN = Path(__file__).parent / "golden"
CLOCK = ("clips_per_second", "data_wait", "cluster_seconds")  # the time that something took

# At the usual rates training is chaotic: of 0.0003, a difference in the last bits is three times as
# much after each step. At this one it stays what it is, and what is learned still shows.
SMALL = "--image_size=32 --seed=3 --precision=float32 --learning_rate=1e-5 --log_every=1 --k=5"
TWENTY = f"{SMALL} --batch_size=4 --steps=20 --evaluate_every=20 --save_every=20 --keep=1 --clips=1"
AGGREGATION = "--clusters=3,4 --neighbours=8 --cluster_every=4 --cluster_lag=2"
# Every family, and every loss; the other settings vary among the cases.
CASES = {
    **{name: f"--family={name} --loss=ir" for name in families.FAMILIES},
    "noise": "--loss=ir --noise_samples=8 --augmentation=random_sized --bin_frames=8",
    "la": f"--loss=la {AGGREGATION} --augmentation=multi_scale --bank_precision=bfloat16",
    "vie": f"--loss=vie --ir_steps=8 {AGGREGATION} --lr_boundaries=6 --subset=0.8",
    "supervised": "--loss=supervised --augmentation=simclr --lr_boundaries=8,16",
    "order": "--loss=order --family=opn --augmentation=opn",
    "rotation": "--loss=rotation --family=rotnet3d --augmentation=rotnet",
}
# Stopped after step 12, when the clustering of step 11 is known and not yet in use. The plateau
# counts, and is never so long that the rate drops: by the accuracy of so few videos it would do so
# on one processor and not on another.
EARLIER = (
    f"{SMALL} --batch_size=8 --loss=vie --ir_steps=7 {AGGREGATION} --noise_samples=8 --steps=24 "
    "--evaluate_every=6 --save_every=12 --keep=1 --clips=2 --lr_plateau=9"
)
STOP = 12
TUNED = (
    f"{SMALL} --batch_size=8 --mode=finetune --start_from=/earlier_run --augmentation=multi_scale "
    "--steps=8 --evaluate_every=2 --save_every=4 --keep=1 --clips=2"
)
TUNED_STOP = 4
READ_OUT = "--mode=readout --taps=conv3,conv5-avg --clips=2"
READ_OUTS = {
    "trained": f"{READ_OUT} --batch_size=8 --steps=8 --learning_rate=1e-5 --log_every=1",
    "cached": f"{READ_OUT} --cached",
}


def narrow(patch):
    """Gives networks few weights, so that what is kept is small and nothing takes long."""
    _, *others = resnet.resnet.__defaults__
    patch.setattr(resnet.resnet, "__defaults__", ((8, 8, 8, 8), *others))


def machine():
    """What the last bits of sums depend on: processor, its cache and cores, and packages."""
    found = {"tensorflow": tf.__version__, "numpy": np.__version__, "av": av.__version__}
    found["cores"] = len(os.sched_getaffinity(0))
    found["system"] = f"{platform.system()} {platform.machine()}"
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    lines = [line.split(":", 1) for line in info.split("\n\n")[0].splitlines() if ":" in line]
    known = {name.strip(): value.strip() for name, value in lines}
    for name in ("vendor_id", "cpu family", "model", "cache size"):
        found[name] = known.get(name)
    words = known.get("flags", "").split()
    found["flags"] = " ".join(x for x in words if x.startswith(("sse", "avx", "fma", "amx")))
    found["asked"] = sorted(f"{x}={value}" for x, value in os.environ.items() if "DNN" in x)
    return found


def lines(file, but=CLOCK):
    """What a run has logged or found, but for what is another each time."""
    found = [json.loads(line) for line in file.read_text().splitlines()]
    return [{name: line[name] for name in line if name not in but} for line in found]


def run(data, workdir, words):
    vie_tf(f"--data={data}", f"--workdir={workdir}", *words.split())
    return lines(workdir / "metrics.jsonl")


def twenty(data, workdir, case):
    """The losses of a case, and what was measured in the end."""
    found = run(data, workdir, f"{TWENTY} {CASES[case]}")
    return {"loss": [line["loss"] for line in found if "loss" in line], "end": found[-1]}


def evaluated(data, workdir, out, capture):
    """What the modes make of a run: numbers of k-NN over its bank, embeddings and the SavedModel.

    Args:
        data: of the run.
        workdir: a copy of it.
        out: a folder to write to.
        capture: what was printed since it was last called.
    """
    shared = (f"--data={data}", f"--workdir={workdir}")
    capture()
    vie_tf("--mode=knn", "--bank", "--k=5", "--clips=2", *shared)
    found = {"knn": json.loads(capture().splitlines()[-1])}
    vie_tf("--mode=embed", "--clips=2", *shared, f"--out={out / 'e.npz'}")
    with np.load(out / "e.npz") as file:
        said = json.loads(str(file["run"]))
        del said["data"]
        found["embed"] = {
            "run": said,
            "shape": list(file["embeddings"].shape),
            "rows": file["embeddings"][::13, :6].tolist(),
            "test": int((file["split"] == "test").sum()),
            "labels": "".join(file["labels"]),
        }
    vie_tf("--mode=export", f"--workdir={workdir}", f"--out={out / 'model'}")
    served = tf.saved_model.load(str(out / "model")).signatures["serving_default"]
    made = served(clip=tf.constant(clip("noise", (2, 1, 32, 32, 3), 1)))
    found["export"] = {name: float(tf.reduce_mean(made[name])) for name in sorted(made)}
    found["export"]["first"] = made["embedding"][0, :6].numpy().tolist()
    return found


def read_out(data, workdir, which, capture):
    """The table that --mode=readout prints, and what it leaves."""
    capture()
    vie_tf(f"--data={data}", f"--workdir={workdir}", *READ_OUTS[which].split())
    table = capture().splitlines()
    start = next(number for number, line in enumerate(table) if line.startswith("tap "))
    found = {"table": table[start:]}
    files = sorted((workdir / "readout").rglob("metrics.jsonl"))
    # Their names too: by them a read-out goes on, and kept features are found.
    places = (workdir / "readout").glob("features/*" if which == "cached" else "*-*")
    return found | {"places": sorted(x.name for x in places), "logged": [lines(x) for x in files]}


def stopped(patch, data, workdir, words, step):
    """Leaves a run as a signal does after a step."""
    end = Watch.on_train_batch_end

    def stop(watch, batch, logs=None):
        watch.interrupted = watch.step + 1 == step
        end(watch, batch, logs)

    with patch.context() as inner, pytest.raises(SystemExit):
        inner.setattr(Watch, "on_train_batch_end", stop)
        run(data, workdir, words)


def keep(workdir, place, data, start=None):
    """Keeps what going on needs of a run, without the places of this machine."""
    shutil.rmtree(GOLDEN / place, ignore_errors=True)
    shutil.copytree(workdir, GOLDEN / place, ignore=shutil.ignore_patterns("tensorboard"))
    for file in [*(GOLDEN / place).rglob("*.txt"), *(GOLDEN / place).rglob("*.json")]:
        text = file.read_text().replace(str(data), "/prepared")
        file.write_text(text.replace(str(start), "/earlier_run") if start else text)


def write(name, found):
    """One line for each value of the first two levels."""
    parts = []
    for key, value in found.items():
        inner = [f"  {json.dumps(x)}: {json.dumps(y)}" for x, y in value.items()]
        parts.append(f" {json.dumps(key)}: {{\n" + ",\n".join(inner) + "\n }")
    (GOLDEN / name).write_text("{\n" + ",\n".join(parts) + "\n}\n")


def make_earlier(patch, data, folder):
    """Two runs that were stopped, and what they would have come to."""
    said = io.StringIO()

    def capture():
        text = said.getvalue()
        said.seek(0)
        said.truncate()
        return text

    found = {"made_on": machine()}
    with contextlib.redirect_stdout(said):
        whole, part, tuned, tuned_part = (
            folder / x for x in ("run", "part", "tuned", "tuned_part")
        )
        found["goes_on"] = {"lines": run(data, whole, EARLIER)}
        stopped(patch, data, part, EARLIER, STOP)
        keep(part, "earlier_run", data)
        found["modes"] = evaluated(data, part, folder, capture)
        for which in READ_OUTS:
            shutil.copytree(GOLDEN / "earlier_run", folder / which)
            found[which] = read_out(data, folder / which, which, capture)
        words = TUNED.replace("/earlier_run", str(part))
        found["tuned"] = {
            "lines": run(data, tuned, words),
            "results": lines(tuned / "results.jsonl", ["data"]),
        }
        stopped(patch, data, tuned_part, words, TUNED_STOP)
        keep(tuned_part, "earlier_finetuning", data, part)
    write("earlier_run.json", found)


def main(what):
    import conftest  # noqa: F401 (the tests' logical processors)
    from preparing import prepare

    from data_prep import moving_digits

    patch = pytest.MonkeyPatch()
    narrow(patch)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        moving_digits.make(str(folder / "digits"), seed=0, limit=40)
        data = prepare(folder / "digits" / "videos.csv", folder / "set")
        if what != ["twenty"]:
            make_earlier(patch, data, folder)
        if what != ["earlier"]:
            runs = {case: twenty(data, folder / f"20 {case}", case) for case in CASES}
            write("losses_of_20_steps.json", {"made_on": machine(), "runs": runs})


if __name__ == "__main__":
    main(sys.argv[1:])
