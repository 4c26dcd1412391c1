"""Clips a second from prepared data and straight from video, against other readers.

    pip install opencv-python-headless decord
    python -m benchmarks.input_pipeline --out=benchmarks/results/input_pipeline.txt

Makes videos (H.264, 10 s, of drawn patterns; --source takes a folder of others), prepares them,
writes the same frames as JPEG files for the reference's way, and lets every reader (readers.py)
read training clips of four samplers. Each reader is a process; they take turns, one step at a time
with the others stopped. The figures are medians: clips a CPU second (of all threads), clips a
second, and how many times as fast as the reference's way, as the bare decode of the same JPEG
frames and as the fastest other reader of video a reader is, by CPU seconds and by seconds. `other`
is the number of cores that everything else kept busy meanwhile.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.printing import printer
from benchmarks.readers import SIZES
from benchmarks.training_step import Worker, take_turns

FRAMES, SIZE = 250, "568x320"
PACKAGES = {"opencv": "cv2", "bare": "cv2", "pyav": "cv2", "decord": "decord"}
SYSTEMS = (
    *("prepared", "prepared_plain", "video_pyav", "video_tfio"),
    *("reference", "bare", "pyav", "opencv", "decord"),
)
# What the others are held against: the fastest of each of these, by CPU seconds and by seconds.
PEERS = {
    "reference": ("reference",),
    "bare decode": ("bare",),
    "video": ("pyav", "opencv", "decord"),
}


def make_videos(folder: Path, count: int, size: str = SIZE) -> None:
    """Drifting smooth patterns with grain, about as costly to code as camera pictures."""
    import av
    import tensorflow as tf

    width, height = map(int, size.split("x"))
    for number in range(count):
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (24, 40, 3)).astype(np.float32)
        scene = tf.image.resize(coarse, (height + FRAMES, width + FRAMES), "bicubic").numpy()
        with av.open(str(folder / f"{number:03}.mp4"), "w") as file:
            stream = file.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.options = {"crf": "23"}
            for t in range(FRAMES):
                image = scene[t : t + height, t : t + width] + rng.normal(0, 3, (height, width, 1))
                frame = av.VideoFrame.from_ndarray(np.clip(image, 0, 255).astype(np.uint8))
                file.mux(stream.encode(frame))
            file.mux(stream.encode())


def write_jpegs(prepared: Path, folder: Path) -> int:
    """The frames of a prepared set as files, VIDEO/000000.jpg; returns their mean size."""
    import tensorflow as tf

    with np.load(prepared / "index.npz") as index:
        videos = np.split(index["offset"], index["first"][1:-1])
    frames = iter(tf.data.TFRecordDataset(sorted(map(str, prepared.glob("*.tfrecord")))))
    sizes = []
    for video, offsets in enumerate(videos):
        (folder / f"{video:03}").mkdir(parents=True)
        for frame, offset in enumerate(offsets):
            if not frame or offset != offsets[frame - 1]:  # else shown again, of a slower video
                jpeg = next(frames).numpy()
            (folder / f"{video:03}" / f"{frame:06}.jpg").write_bytes(jpeg)
            sizes.append(len(jpeg))
    return round(statistics.mean(sizes))


def usable(system: str) -> bool:
    """Whether what a system needs is installed."""
    if system == "video_tfio":
        from vie_tf.data import decoding
        from vie_tf.errors import InputError

        try:
            return decoding.choose_decoder("tfio") == "tfio"
        except InputError:
            return False
    return system not in PACKAGES or importlib.util.find_spec(PACKAGES[system]) is not None


def main() -> None:
    """Prints a table for each sampler."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", help="folder of videos of 25 frames/s; default: 8 are made")
    parser.add_argument("--size", default=SIZE, help="of those, in pixels")
    parser.add_argument("--samplers", default=",".join(SIZES))
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", help="file for the tables")
    options = parser.parse_args()
    say = printer(options.out)
    systems = [name for name in options.systems.split(",") if usable(name)]
    if left := set(options.systems.split(",")) - set(systems):
        say(f"left out, not installed: {', '.join(sorted(left))}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.source:
            (folder / "videos").symlink_to(Path(options.source).resolve())
        else:
            (folder / "videos").mkdir()
            make_videos(folder / "videos", 8, options.size)
        words = (f"--source={folder / 'videos'}", f"--out={folder / 'prepared'}")
        prepare = (sys.executable, "-m", "data_prep.videos", *words)
        subprocess.run(prepare, check=True, capture_output=True)
        size = write_jpegs(folder / "prepared", folder / "jpegs")
        say(f"{options.threads} threads, {options.rounds} rounds; JPEG frames of {size} bytes")
        for sampler in options.samplers.split(","):
            compare(say, sampler, systems, folder, options)


def compare(
    say: Callable, sampler: str, systems: list[str], folder: Path, options: argparse.Namespace
) -> None:
    """Prints the table of a sampler."""
    say(f"{sampler}, {SIZES[sampler]} pixels")
    heading = "".join(f"{f'x {peer}':>15}" for peer in PEERS)
    say(f"  {'':16}{'clips / CPU s':>14}{'clips / s':>11}{heading}")
    workers = {
        name: Worker(sys.executable, "readers", name, sampler, folder, options.threads)
        for name in systems
    }
    steps = take_turns(workers, options.rounds)
    # Seconds and CPU seconds of a clip.
    cost = {
        name: [(s[0] / worker.result, s[1] / worker.result) for s in steps[name]]
        for name, worker in workers.items()
    }
    medians = {name: [statistics.median(column) for column in zip(*cost[name])] for name in systems}
    for name in systems:
        wall, cpu = medians[name]
        row = f"  {name:16}{1 / cpu:14.1f}{1 / wall:11.1f}"
        for peers in PEERS.values():
            there, ratios = [peer for peer in peers if peer in medians], []
            for i in (1, 0) if there else ():
                peer = min(there, key=lambda name: medians[name][i])
                pairs = zip(cost[name], cost[peer])
                ratios.append(f"{statistics.median(b[i] / a[i] for a, b in pairs):.2f}")
            row += f"{', '.join(ratios):>15}"
        say(row)
    other = statistics.median(s[2] for name in systems for s in steps[name])
    say(f"  other {other:.2f}")
    for worker in workers.values():
        worker.close()


if __name__ == "__main__":
    main()
