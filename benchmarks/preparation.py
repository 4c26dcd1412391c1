"""Speed of data_prep.videos, against cores x what bare FFmpeg does on one.

    python -m benchmarks.preparation

Makes real videos (H.264, 10 s, 568x320 and 1280x720) and brings them to 25 frames/s, short side 320
and JPEG frames. The peer is one `ffmpeg` process with the same request (fps, scale with the
bilinear filter, MJPEG of about the same size), bound to one core, as even with one thread for each
of its steps it takes more than one; it writes no index. What is compared is frames a second: of
ours on all cores, start and all, of the peer's times the cores. Cores that share their caches and
clocks are not worth their number, so the peer also runs on all of them, a process each. All take
turns.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import av
import numpy as np
from PIL import Image

SIZES = ((568, 320), (1280, 720))
FRAMES = 250
MADE = 16  # different videos; more are the same again


def make_video(path: Path, width: int, height: int, seed: int) -> None:
    """A drifting smooth pattern with grain, about as costly to code as camera pictures."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (24, 40, 3), np.uint8))
    scene = np.asarray(coarse.resize((width + FRAMES, height + FRAMES), Image.BICUBIC), np.float32)
    grain = rng.normal(0, 6, (height + 64, width + 64, 1)).astype(np.float32)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23"}
        for t in range(FRAMES):
            y, x = rng.integers(0, 64, 2)
            image = scene[t : t + height, t : t + width] + grain[y : y + height, x : x + width]
            frame = av.VideoFrame.from_ndarray(np.clip(image, 0, 255).astype(np.uint8))
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def ours(videos: list[Path], out: Path) -> tuple[float, int]:
    """Seconds of the whole command, and bytes of the frames."""
    words = [f"--source={videos[0].parent}", f"--out={out}", "--decoder=pyav"]
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "data_prep.videos", *words], check=True, capture_output=True
    )
    seconds = time.perf_counter() - start
    return seconds, sum(path.stat().st_size for path in out.glob("*.tfrecord"))


def bare(ffmpeg: str, videos: list[Path], cores: list[int], out: Path) -> tuple[float, int]:
    """Seconds of one ffmpeg for each video, as many at once as cores; and bytes of the frames."""
    out.mkdir()
    free = iter(cores)
    scale = "fps=25,scale='if(gt(iw,ih),-1,320)':'if(gt(iw,ih),320,-1)':flags=bilinear"
    one = ["-threads", "1"]

    def convert(video: Path) -> None:
        subprocess.run(
            [
                *(ffmpeg, "-v", "error", *one, "-filter_threads", "1", "-i", str(video), "-an"),
                *("-vf", scale, "-c:v", "mjpeg", "-q:v", "2", *one, "-f", "mjpeg"),
                str(out / video.stem),
            ],
            check=True,
        )

    def bind() -> None:
        os.sched_setaffinity(0, {next(free)})  # of this thread and of what it starts

    start = time.perf_counter()
    with ThreadPoolExecutor(len(cores), initializer=bind) as pool:
        list(pool.map(convert, videos))
    return time.perf_counter() - start, sum(path.stat().st_size for path in out.iterdir())


def main() -> None:
    """Prints both speeds and their ratio for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=64, help="of each size")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ffmpeg", default=shutil.which("ffmpeg"), help="the peer")
    options = parser.parse_args()
    if not options.ffmpeg:
        parser.error("no ffmpeg on the PATH; install it, or say where it is with --ffmpeg")
    version = subprocess.run([options.ffmpeg, "-version"], capture_output=True, text=True).stdout
    cores = sorted(os.sched_getaffinity(0))
    print(f"{len(cores)} cores; {' '.join(version.split()[:3])}, one core each")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for width, height in SIZES:
            source = folder / f"{width}"
            source.mkdir()
            videos = [source / f"{number:03}.mp4" for number in range(options.videos)]
            for number, video in enumerate(videos):
                if number < MADE:
                    make_video(video, width, height, number)
                else:
                    os.link(videos[number % MADE], video)
            runs = {
                "ours": partial(ours, videos),
                "bare, one": partial(bare, options.ffmpeg, videos, cores[:1]),
                "bare, all": partial(bare, options.ffmpeg, videos, cores),
            }
            frames, found = FRAMES * len(videos), {name: [] for name in runs}
            for _ in range(options.rounds):
                for name, run in runs.items():
                    out = folder / "out"
                    found[name].append(run(out))
                    shutil.rmtree(out)
            print(f"{width}x{height}, {len(videos)} videos of {FRAMES / 25:g} s:")
            for name, rows in found.items():
                seconds, size = (statistics.median(column) for column in zip(*rows))
                print(
                    f"  {name}  {frames / seconds:7.0f} frames/s  {size / frames:7.0f} bytes each"
                )
            for name, share in (("bare, one", len(cores)), ("bare, all", 1)):
                ratios = [b[0] / (share * a[0]) for a, b in zip(found["ours"], found[name])]
                times = f"{share} x " if share > 1 else ""
                print(
                    f"  ours / ({times}{name} at a time): {statistics.median(ratios):.2f}, turns "
                    f"{min(ratios):.2f} to {max(ratios):.2f}"
                )


if __name__ == "__main__":
    main()
