"""Where the input pipeline's time goes: CPU microseconds a clip of each of its stages.

    python -m benchmarks.input_stages --data=PREPARED

Prepared clips of four samplers, as training reads them, but only up to a stage; what a stage takes
on top of the one before is its cost. Medians of rounds in which the stages take turns. For
comparison, what Pillow takes to resize one frame.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import numpy as np
import tensorflow as tf
from PIL import Image

from benchmarks.readers import BATCHES, SIZES
from vie_tf.data.augmentation import PAPER_COLOUR_NOISE, colour_noise
from vie_tf.data.crops import random_crop
from vie_tf.data.frames import cut
from vie_tf.data.pipeline import clip_seed, epoch_order
from vie_tf.data.videos import VideoSet, open_videos
from vie_tf.models.families import sampling_of

STAGES = ("draw", "read", "decode", "resize", "colour")
SECONDS = 1.0


def batches(videos: VideoSet, sampler: str, stage: str) -> tf.data.Dataset:
    """Endless batches of what a stage makes."""
    sampling, size = sampling_of(sampler), SIZES[sampler]
    lengths, sizes = tf.constant(videos.frames), tf.constant(videos.sizes)

    def clip(position):
        epoch, row = epoch_order(position, len(videos), 0)
        seeds = tf.random.experimental.stateless_split(clip_seed(0, epoch, row), 3)
        chosen = sampling.random(lengths[row], seeds[0])
        crop = random_crop(sizes[row], size, seeds[1])
        found = {}

        def read(box):
            found.update(box=box, frames=videos.read(row, chosen, box))
            return found["frames"]

        pixels, problem = cut(read, crop, size)
        stored, unpack, _ = found["frames"]
        pixels.set_shape((sampling.frames, size, size, 3))
        # What nothing needs is not computed.
        return {
            "draw": lambda: (found["box"], chosen, crop.flip),
            "read": lambda: (tf.strings.length(stored), problem),
            "decode": lambda: tf.map_fn(
                lambda one: tf.shape(unpack(one)), stored, fn_output_signature=tf.int32
            ),
            "resize": lambda: (pixels, problem, seeds[2]),
        }["resize" if stage == "colour" else stage]()

    made = tf.data.Dataset.range(1 << 40).map(clip, num_parallel_calls=tf.data.AUTOTUNE)
    return made.batch(BATCHES[sampler]).prefetch(2)


def pillow(part: int = 250, size: int = 224, frames: int = 500) -> float:
    """CPU microseconds of the resizing alone of a frame as large as a crop needs of it."""
    frame = Image.fromarray(np.random.default_rng(0).integers(0, 256, (part, part, 3), np.uint8))
    busy = time.process_time()
    for _ in range(frames):
        frame.resize((size, size), Image.BILINEAR)
    return (time.process_time() - busy) / frames * 1e6


def main() -> None:
    """Prints a line for each sampler."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    videos = open_videos(options.data)
    colour = tf.function(lambda clip, problem, seed: colour_noise(clip, seed, PAPER_COLOUR_NOISE))
    print(f"CPU us a clip{'':7}" + "".join(f"{stage:>9}" for stage in STAGES) + f"{'all':>9}")
    for sampler in SIZES:
        streams = {stage: iter(batches(videos, sampler, stage)) for stage in STAGES}
        taken = {stage: [] for stage in STAGES}
        for turn in range(options.rounds + 1):
            for stage, stream in streams.items():
                count, start, busy = 0, time.perf_counter(), time.process_time()
                while time.perf_counter() - start < SECONDS:
                    batch = next(stream)
                    if stage == "colour":
                        colour(*batch)
                    count += BATCHES[sampler]
                time.sleep(0.2)  # what is read ahead is finished
                if turn:  # the first one starts up
                    taken[stage].append((time.process_time() - busy) / count * 1e6)
        cost = [0.0] + [statistics.median(taken[stage]) for stage in STAGES]
        parts = "".join(f"{after - before:9.0f}" for before, after in zip(cost, cost[1:]))
        print(f"{sampler:12} {SIZES[sampler]:4} px {parts}{cost[-1]:9.0f}", flush=True)
    print(f"Pillow's resizing of a frame, 250 to 224 px: {pillow():.0f}", flush=True)
    os._exit(0)  # the streams are endless


if __name__ == "__main__":
    main()
