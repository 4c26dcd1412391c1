"""Clips a second from prepared data and straight from video, against other readers.

    pip install opencv-python-headless decord
    python -m benchmarks.input_pipeline --out=benchmarks/results/input_pipeline.txt

Makes real videos (H.264, 10 s, 568x320; --source takes others), prepares them, writes the same
frames as JPEG files for the reference's way, and lets every reader (readers.py) read training clips
of four samplers. Each reader is a process; they take turns, one step at a time with the others
idle. The figures are medians: clips a CPU second (of all threads), clips a second, and how many
times as fast as the reference's way and as the bare decode of the same JPEG frames ours is, by CPU
seconds and by seconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.printing import printer
from benchmarks.readers import SIZES
from benchmarks.training_step import Worker, take_turns

HEIGHT, WIDTH, FRAMES = 320, 568, 250
PACKAGES = {"opencv": "cv2", "bare": "cv2", "pyav": "cv2", "decord": "decord"}
SYSTEMS = (
    *("prepared", "prepared_plain", "video_pyav", "video_tfio"),
    *("reference", "bare", "pyav", "opencv", "decord"),
)


def make_videos(folder: Path, count: int) -> None:
    """Drifting smooth patterns with grain, about as costly to code as camera pictures."""
    import av
    import tensorflow as tf

    for number in range(count):
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (24, 40, 3)).astype(np.float32)
        scene = tf.image.resize(coarse, (HEIGHT + FRAMES, WIDTH + FRAMES), "bicubic").numpy()
        with av.open(str(folder / f"{number:03}.mp4"), "w") as file:
            stream = file.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.options = {"crf": "23"}
            for t in range(FRAMES):
                image = scene[t : t + HEIGHT, t : t + WIDTH] + rng.normal(0, 3, (HEIGHT, WIDTH, 1))
                frame = av.VideoFrame.from_ndarray(np.clip(image, 0, 255).astype(np.uint8))
                file.mux(stream.encode(frame))
            file.mux(stream.encode())


def write_jpegs(prepared: Path, folder: Path) -> int:
    """The frames of a prepared set as files, VIDEO/000000.jpg; returns their mean size."""
    import tensorflow as tf

    with np.load(prepared / "index.npz") as index:
        lengths = np.diff(index["first"])
    frames = iter(tf.data.TFRecordDataset(sorted(map(str, prepared.glob("*.tfrecord")))))
    sizes = []
    for video, length in enumerate(lengths):
        (folder / f"{video:03}").mkdir(parents=True)
        for frame in range(length):
            jpeg = next(frames).numpy()
            (folder / f"{video:03}" / f"{frame:06}.jpg").write_bytes(jpeg)
            sizes.append(len(jpeg))
    return round(statistics.mean(sizes))


def usable(system: str) -> bool:
    """Whether what a system needs is installed."""
    if system == "video_tfio":
        from vie_tf.data import decoding

        try:
            return decoding.choose_decoder("tfio") == "tfio"
        except decoding.DecodingError:
            return False
    return system not in PACKAGES or importlib.util.find_spec(PACKAGES[system]) is not None


def main() -> None:
    """Prints a table for each sampler."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", help="folder of videos; default: 8 are made")
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
            make_videos(folder / "videos", 8)
        words = (f"--source={folder / 'videos'}", f"--out={folder / 'prepared'}")
        prepare = (sys.executable, "-m", "data_prep.videos", *words)
        subprocess.run(prepare, check=True, capture_output=True)
        size = write_jpegs(folder / "prepared", folder / "jpegs")
        say(f"{options.threads} threads, {options.rounds} rounds; JPEG frames of {size} bytes")
        for sampler in options.samplers.split(","):
            say(f"{sampler}, {SIZES[sampler]} pixels")
            say(
                f"  {'':16}{'clips / CPU s':>14}{'clips / s':>11}"
                f"{'x reference':>18}{'x bare decode':>18}"
            )
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
            for name in systems:
                wall, cpu = (statistics.median(c[i] for c in cost[name]) for i in (0, 1))
                row = f"  {name:16}{1 / cpu:14.1f}{1 / wall:11.1f}"
                for peer in ("reference", "bare"):
                    if peer in cost:
                        ratios = [
                            statistics.median(b[i] / a[i] for a, b in zip(cost[name], cost[peer]))
                            for i in (1, 0)
                        ]
                        row += f"{ratios[0]:10.2f}, {ratios[1]:.2f}"
                say(row)
            for worker in workers.values():
                worker.close()


if __name__ == "__main__":
    main()
