"""How many cores feed a GPU: clips a core and second from prepared videos, by family.

    python -m benchmarks.feeding --out=benchmarks/results/feeding.txt

Makes 8 videos, prepares them with the short side that suits the family's clips and, where that is
not the usual 320, with 320 too, and reads training clips of them; colour noise is the GPU's work.
`cores` is how many keep up with a step of --gpu_clips clips a second, and `of N` the share of these
clips that --cores of them read: by CPU seconds, as if none ever waited, and by seconds, as all of
this machine's did. The default of --gpu_clips is what our own steps take on an H200, in bfloat16
(benchmarks/results/gpu_h200.txt).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.input_pipeline import SIZE, make_videos
from benchmarks.printing import printer
from benchmarks.readers import SIZES
from benchmarks.training_step import Worker
from data_prep.standardise import short_side_for

GPU_CLIPS = "single:12343,slow:3537,slowfast:858,resnet3d:3008"
USUAL = 320  # --short_side of data_prep.videos


def main() -> None:
    """Prints a row for each family and short side."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpu_clips", default=GPU_CLIPS, help="clips a second, by family")
    parser.add_argument("--cores", type=int, default=16, help="beside the GPU")
    parser.add_argument("--size", default=SIZE, help="of the videos, pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", help="file for the table")
    options = parser.parse_args()
    say = printer(options.out)
    say(f"{options.threads} threads, {options.rounds} rounds; videos of {options.size} pixels")
    heading = ("short side", "clips / CPU s", "clips / s", "GPU clips / s", "cores")
    heading += (f"of {options.cores}",)
    say(f"{'family':10}" + "".join(f"{word:>15}" for word in heading) + f"{'other':>8}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "videos").mkdir()
        make_videos(folder / "videos", 8, options.size)
        for family, wanted in (word.split(":") for word in options.gpu_clips.split(",")):
            for side in sorted({short_side_for(SIZES[family]), USUAL}, reverse=True):
                of_side = folder / str(side)
                if not of_side.exists():
                    out = (f"--out={of_side / 'prepared'}", f"--short_side={side}")
                    words = ("-m", "data_prep.videos", f"--source={folder / 'videos'}", *out)
                    of_side.mkdir()
                    subprocess.run([sys.executable, *words], check=True, capture_output=True)
                what = ("readers", "prepared_plain", family, of_side, options.threads)
                worker = Worker(sys.executable, *what)
                steps = [worker.step() for _ in range(options.rounds)]
                wall, cpu, other = (statistics.median(column) for column in zip(*steps))
                worker.close()
                rates = worker.result / cpu, worker.result / wall
                a_core = rates[0], rates[1] / options.threads
                cores = [float(wanted) / rate for rate in a_core]
                row = (side, *(f"{rate:.1f}" for rate in rates), wanted)
                row += (", ".join(f"{number:.1f}" for number in cores),)
                row += (", ".join(f"{options.cores / number:.2f}" for number in cores),)
                say(f"{family:10}" + "".join(f"{x:>15}" for x in row) + f"{other:8.2f}")


if __name__ == "__main__":
    main()
