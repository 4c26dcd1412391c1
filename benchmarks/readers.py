"""Readers of training clips, by ourselves and by others: the subjects of input_pipeline.py.

All give the same clips: frames of one sampler, resized with antialiasing to the same random short
side, cut to the same size, and all but those named so with the paper's colour noise. A step reads
as many clips as take about `SECONDS`.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vie_tf.data.augmentation import GREY

SECONDS = 1.5
SIZES = {"single": 224, "slow": 224, "slowfast": 224, "resnet3d": 112}
BATCHES = {"single": 32, "slow": 16, "slowfast": 8, "resnet3d": 8}
WINDOWS = {"single": (1, 1), "slow": (4, 16), "slowfast": (16, 4), "resnet3d": (16, 1)}


def make_step(system: str, sampler: str, folder: str, threads: int):
    """0, and a step: a function that reads clips and returns how many.

    Args:
        system: `prepared`, `prepared_plain` (no colour noise), `video_pyav`, `video_tfio`,
            `reference` (JPEG files, Pillow, operation by operation and frame by frame), `pyav`,
            `opencv`, `decord` (videos, OpenCV), `bare` (the JPEG frames decoded, whole, nothing
            else; libjpeg-turbo in OpenCV).
        sampler: of SIZES.
        folder: with `videos/`, `prepared/` and `jpegs/VIDEO/000000.jpg`.
        threads: of the processor.
    """
    if system.startswith(("prepared", "video_")):
        read = _ours(system, sampler, Path(folder), threads)
    else:
        read = _theirs(globals()[f"_{system}"](Path(folder)), sampler, Path(folder), threads)
    batch = BATCHES[sampler]
    read(4 * batch)  # what is new is traced
    start = time.perf_counter()
    read(4 * batch)
    seconds = (time.perf_counter() - start) / 4
    clips = batch * max(2, round(SECONDS / seconds))
    return 0, lambda: read(clips)


def _ours(system: str, sampler: str, folder: Path, threads: int) -> Callable[[int], int]:
    import tensorflow as tf

    from vie_tf.data import pipeline
    from vie_tf.data.augmentation import PAPER_COLOUR_NOISE, colour_noise
    from vie_tf.data.videos import open_videos
    from vie_tf.models.families import sampling_of

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    raw = system.startswith("video_")
    data, decoder = ("videos", system[len("video_") :]) if raw else ("prepared", "auto")
    videos, sampling = open_videos(str(folder / data), decoder), sampling_of(sampler)
    batches, size = BATCHES[sampler], SIZES[sampler]
    # Endless, as in training, and always running at the speed that it has settled to.
    stream = iter(pipeline.training_batches(videos, sampling, batches, size, 0, 0, 1 << 40))
    # As in the training step, which is a graph.
    colour = tf.function(lambda clip, seed: colour_noise(clip, seed, PAPER_COLOUR_NOISE))

    def read(clips: int) -> int:
        for _ in range(clips // batches):
            batch = next(stream)
            if system != "prepared_plain":
                colour(batch["clip"], batch["seed"])
        return clips

    return read


def _theirs(load: Callable, sampler: str, folder: Path, threads: int) -> Callable[[int], int]:
    """Draws as the sampler does, in as many threads as ours has."""
    lengths = [len(list(video.iterdir())) for video in sorted((folder / "jpegs").iterdir())]
    (frames, interval), size = WINDOWS[sampler], SIZES[sampler]
    pool = ThreadPoolExecutor(threads)

    def clip(number: int) -> None:
        rng = np.random.default_rng(number)
        video = number % len(lengths)
        start = rng.integers(lengths[video] - (frames - 1) * interval)
        load(video, start + interval * np.arange(frames), size, rng)

    def read(clips: int) -> int:
        list(pool.map(clip, range(clips)))
        return clips

    return read


def _draws(height: int, width: int, size: int, rng) -> tuple:
    """Resized height and width, corner of the crop, flip."""
    short = rng.integers(256 * size // 224, 320 * size // 224)
    height, width = (side * short // min(height, width) for side in (height, width))
    corner = rng.integers(height - size + 1), rng.integers(width - size + 1)
    return (height, width), corner, rng.random() < 0.5


def _reference(folder: Path) -> Callable:
    from PIL import Image, ImageEnhance

    paths = [sorted(video.iterdir()) for video in sorted((folder / "jpegs").iterdir())]

    def hue(image: Image.Image, shift: float) -> Image.Image:
        h, s, v = image.convert("HSV").split()
        turned = np.asarray(h) + np.uint8(int(shift * 255) % 256)
        return Image.merge("HSV", (Image.fromarray(turned, "L"), s, v)).convert("RGB")

    def load(video: int, frames: np.ndarray, size: int, rng) -> np.ndarray:
        images = [Image.open(paths[video][frame]).convert("RGB") for frame in frames]
        (height, width), (top, left), flip = _draws(*images[0].size[::-1], size, rng)
        images = [image.resize((width, height), Image.BILINEAR) for image in images]
        images = [image.crop((left, top, left + size, top + size)) for image in images]
        factors, shift = rng.uniform(0.6, 1.4, 3), rng.uniform(-0.4, 0.4)
        operations = [
            lambda image: ImageEnhance.Brightness(image).enhance(factors[0]),
            lambda image: ImageEnhance.Contrast(image).enhance(factors[1]),
            lambda image: ImageEnhance.Color(image).enhance(factors[2]),
            lambda image: hue(image, shift),
        ]
        for place in rng.permutation(4):
            images = [operations[place](image) for image in images]
        if rng.random() < 0.3:
            images = [image.convert("L").convert("RGB") for image in images]
        if flip:
            images = [image.transpose(Image.FLIP_LEFT_RIGHT) for image in images]
        return np.stack([np.asarray(image) for image in images])

    return load


def _bare(folder: Path) -> Callable:
    import cv2

    cv2.setNumThreads(1)
    paths = [sorted(video.iterdir()) for video in sorted((folder / "jpegs").iterdir())]

    def load(video: int, frames: np.ndarray, size: int, rng) -> list[np.ndarray]:
        files = [np.frombuffer(paths[video][frame].read_bytes(), np.uint8) for frame in frames]
        return [cv2.imdecode(file, cv2.IMREAD_COLOR) for file in files]

    return load


def _coloured(images: list[np.ndarray], size: int, rng) -> np.ndarray:
    """Resize, crop, colour noise and flip with OpenCV; RGB uint8 frames."""
    import cv2

    cv2.setNumThreads(1)
    (height, width), (top, left), flip = _draws(*images[0].shape[:2], size, rng)
    images = [cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in images]
    images = [image[top : top + size, left : left + size] for image in images]
    factors, shift = rng.uniform(0.6, 1.4, 3), rng.uniform(-0.4, 0.4)

    def hue(image: np.ndarray) -> np.ndarray:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
        hsv[..., 0] += np.uint8(int(shift * 255) % 256)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)

    def contrast(image: np.ndarray) -> np.ndarray:
        mean = (1 - factors[1]) * float(np.dot(cv2.mean(image)[:3], GREY))
        return cv2.addWeighted(image, factors[1], image, 0, mean)

    def saturation(image: np.ndarray) -> np.ndarray:
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        return cv2.addWeighted(image, factors[2], grey, 1 - factors[2], 0)

    operations = [
        lambda image: cv2.addWeighted(image, factors[0], image, 0, 0),
        contrast,
        saturation,
        hue,
    ]
    for place in rng.permutation(4):
        images = [operations[place](image) for image in images]
    if rng.random() < 0.3:
        images = [
            cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            for image in images
        ]
    if flip:
        images = [image[:, ::-1] for image in images]
    return np.stack(images)


def _pyav(folder: Path) -> Callable:
    import av

    paths = sorted((folder / "videos").iterdir())

    def load(video: int, frames: np.ndarray, size: int, rng) -> np.ndarray:
        with av.open(str(paths[video])) as container:
            stream = container.streams.video[0]
            stamp = int(1 / (stream.average_rate * stream.time_base))
            container.seek(int(frames[0]) * stamp, stream=stream)
            wanted, images = set(frames.tolist()), []
            for frame in container.decode(stream):
                if frame.pts // stamp in wanted:
                    images.append(frame.to_ndarray(format="rgb24", threads=1))
                if frame.pts // stamp >= frames[-1]:
                    break
        return _coloured(images, size, rng)

    return load


def _opencv(folder: Path) -> Callable:
    import cv2

    paths = sorted((folder / "videos").iterdir())

    def load(video: int, frames: np.ndarray, size: int, rng) -> np.ndarray:
        capture = cv2.VideoCapture(str(paths[video]), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        capture.set(cv2.CAP_PROP_POS_FRAMES, int(frames[0]))
        wanted, images = set(frames.tolist()), []
        for frame in range(frames[0], frames[-1] + 1):
            capture.grab()
            if frame in wanted:
                images.append(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
        capture.release()
        return _coloured(images, size, rng)

    return load


def _decord(folder: Path) -> Callable:
    import decord

    files = [path.read_bytes() for path in sorted((folder / "videos").iterdir())]

    def load(video: int, frames: np.ndarray, size: int, rng) -> np.ndarray:
        reader = decord.VideoReader(io.BytesIO(files[video]), num_threads=1)
        return _coloured(list(reader.get_batch(frames).asnumpy()), size, rng)

    return load
