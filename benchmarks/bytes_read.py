"""Clips a second and bytes read a clip of the input pipeline, against one Example a video.

    python -m benchmarks.bytes_read

Makes real videos (H.264, 10 s, 568x320), prepares them, and reads VIE-Single's training clips.
The peer is the usual layout of video TFRecords (a SequenceExample a video, all its JPEG frames in
it: DMVR, Model Garden): parse, pick a frame, decode and crop it. Both do the same augmentation on
the same JPEGs, and take turns.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from benchmarks.input_pipeline import make_videos
from vie_tf.data import crops, pipeline
from vie_tf.data.frames import Frames, cut
from vie_tf.data.videos import VideoSet, open_videos
from vie_tf.models.families import sampling_of


def write_examples(videos: VideoSet, path: Path, jpegs) -> None:
    """The peer's file: every frame of a video in one SequenceExample."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(len(videos.ids)):
            frames = [
                tf.train.Feature(bytes_list=tf.train.BytesList(value=[jpeg]))
                for jpeg in jpegs[number]
            ]
            lists = {"image/encoded": tf.train.FeatureList(feature=frames)}
            example = tf.train.SequenceExample(
                feature_lists=tf.train.FeatureLists(feature_list=lists)
            )
            writer.write(example.SerializeToString())


def example_batches(path: Path, size, batch_size: int, image_size: int) -> tf.data.Dataset:
    """The peer's pipeline: sample before decoding, fused decode and crop, same augmentation."""

    def clip(position, serialized):
        feature = {"image/encoded": tf.io.FixedLenSequenceFeature([], tf.string)}
        jpegs = tf.io.parse_single_sequence_example(serialized, sequence_features=feature)[1]
        jpegs = jpegs["image/encoded"]
        seeds = tf.unstack(
            tf.random.experimental.stateless_split(tf.stack([0, tf.cast(position, tf.int32)]), 2)
        )
        chosen = sampling_of("single").random(tf.size(jpegs, tf.int64), seeds[0])[0]
        crop = crops.random_crop(size, image_size, seeds[1])

        def read(box):
            frame = tf.io.decode_and_crop_jpeg(
                jpegs[chosen], box, channels=3, dct_method="INTEGER_ACCURATE"
            )
            return Frames(frame[None], lambda frame: frame, tf.constant(""))

        return cut(read, crop, image_size)[0]

    stream = tf.data.TFRecordDataset(str(path)).repeat().shuffle(8).enumerate()
    return stream.map(clip, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size).prefetch(2)


def bytes_read() -> int:
    """Bytes that this process has asked the system to read so far (Linux)."""
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])


def main() -> None:
    """Prints both speeds, their ratio, and bytes a clip."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--batches", type=int, default=64, help="of 32 clips, in each round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "videos").mkdir()
        make_videos(folder / "videos", options.videos)
        subprocess.run(
            [
                sys.executable,
                "-m",
                "data_prep.videos",
                f"--source={folder / 'videos'}",
                f"--out={folder / 'prepared'}",
            ],
            check=True,
            capture_output=True,
        )
        videos = open_videos(str(folder / "prepared"))
        records = tf.data.TFRecordDataset(
            sorted(map(str, (folder / "prepared").glob("*.tfrecord")))
        )
        stored = [record.numpy() for record in records]
        per_video = len(stored) // len(videos.ids)
        write_examples(
            videos,
            folder / "examples.tfrecord",
            [stored[n * per_video : (n + 1) * per_video] for n in range(len(videos.ids))],
        )
        frame_bytes = statistics.mean(map(len, stored))
        size = tf.constant(videos.sizes[0])
        streams = {
            "vie_tf": pipeline.training_batches(
                videos, sampling_of("single"), 32, options.image_size, 0, 0, 1 << 30
            ),
            "examples": example_batches(folder / "examples.tfrecord", size, 32, options.image_size),
        }
        read, speeds = {}, {name: [] for name in streams}
        # Bytes are counted for the process, so one pipeline at a time; speeds in turns.
        for name, stream in streams.items():
            running = iter(stream)
            take(running, options.batches)
            read[name] = take(running, options.batches)[1]
            del running
        running = {name: iter(stream) for name, stream in streams.items()}
        for turn in range(options.rounds + 1):
            for name, stream in running.items():
                speed = take(stream, options.batches)[0]
                if turn:  # the first fills the buffers
                    speeds[name].append(speed)
        tell(read, speeds, frame_bytes, options.image_size)


def take(stream: Iterator, batches: int) -> tuple[float, float]:
    """Clips a second, and bytes read a clip, of the next batches."""
    time.sleep(0.5)  # until what is read ahead stands still
    start, before = time.perf_counter(), bytes_read()
    for _ in range(batches):
        next(stream)
    seconds = time.perf_counter() - start
    time.sleep(0.5)
    clips = 32 * batches
    return clips / seconds, (bytes_read() - before) / clips


def tell(
    read: dict[str, float], speeds: dict[str, list[float]], frame_bytes: float, image_size: int
) -> None:
    """Prints a line for each system, and the ratio of their speeds."""
    print(f"mean JPEG: {frame_bytes:.0f} bytes; clips of 1 frame at {image_size} px")
    for name in speeds:
        share = read[name] / frame_bytes
        print(
            f"{name:9} {statistics.median(speeds[name]):8.0f} clips/s   bytes read a clip: "
            f"{read[name]:10.0f} = {share:.2f} x the used frame"
        )
    ratio = statistics.median(a / b for a, b in zip(speeds["vie_tf"], speeds["examples"]))
    print(f"clips/s vie_tf / examples: {ratio:.2f}")


if __name__ == "__main__":
    main()
