from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import av
import numpy as np
import pytest
from ffmpeg4 import make, needs_tensorflow_io
from make_videos import RED, number_of, rotate, write_video
from PIL import Image

from vie_tf.data import decoding, resampling
from vie_tf.data.decoding import DecodingError, probe, read_frames
from vie_tf.data.video_file import Pixels, open_container

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@pytest.mark.parametrize(
    "name, codec",
    [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.webm", "libvpx-vp9"), ("a.ts", "mpeg2video")],
)
def test_any_frames_in_any_order_are_exact(tmp_path, name, codec):
    path = write_video(tmp_path / name, frames=40, codec=codec)
    info = probe(path)
    assert (len(info.times), info.height, info.width) == (40, 48, 64)
    wanted = [39, 0, 25, 25, 13, 12, 11]
    frames = read_frames(path, info, np.array(wanted))
    assert [number_of(frame) for frame in frames] == wanted
    for number in (0, 11, 12, 13, 38):
        assert number_of(read_frames(path, info, np.array([number]))[0]) == number


def test_seeking_decodes_little(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", frames=100, gop=10)
    info, count = probe(path), 0
    plain = decoding.decoded

    def counted(*arguments, **named):
        nonlocal count
        for frame in plain(*arguments, **named):
            count += 1
            yield frame

    monkeypatch.setattr(decoding, "decoded", counted)
    assert number_of(read_frames(path, info, np.array([95]))[0]) == 95
    assert count <= 12


def test_frames_that_no_other_needs_are_not_decoded(tmp_path):
    """Those wanted are the same to the bit as when all are decoded."""
    path = write_video(tmp_path / "a.mp4", frames=60, gop=30)  # x264 makes B-frames
    info = probe(path)
    with open_container(path) as container:
        rgb = Pixels()
        everything = [rgb(frame, 48, 64) for frame in decoding.decoded(container)]
    assert len(everything) == 60
    with open_container(path) as container:
        few = list(decoding.decoded(container, wanted={info.stamps[33], info.stamps[58]}))
    assert 20 < len(few) < 45
    for numbers in ([33, 58], [1, 2, 3], list(range(60)), [59], [7, 19, 31, 43]):
        frames = read_frames(path, info, np.array(numbers))
        np.testing.assert_array_equal(frames, np.stack([everything[n] for n in numbers]))


def frame_of(picture, shape):
    """A frame of uint8 [height, width, 3].

    FFmpeg 7 gives odd widths a wrong last column of colours; there it is that of a wider picture.
    """

    def converted(pixels):
        return av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=shape)

    frame = converted(picture)
    if av.library_versions["libswscale"][0] > 8 or picture.shape[1] % 2 == 0:
        return frame
    wider = converted(np.concatenate([picture, picture[:, -1:]], axis=1))
    for ours, theirs in zip(frame.planes[1:], wider.planes[1:]):
        rows, others = (np.frombuffer(x, np.uint8).reshape(-1, x.line_size) for x in (ours, theirs))
        size, rows = min(ours.line_size, theirs.line_size), rows.copy()
        rows[:, :size] = others[:, :size]
        ours.update(rows.tobytes())
    return frame


@pytest.mark.parametrize("shape", ["yuv420p", "yuvj420p", "yuv422p", "nv12", "rgb24"])
def test_resized_pixels_are_those_of_the_picture(shape):
    """Against Pillow's filter on the picture that was there before a video's halved colours."""
    random = np.random.default_rng(0)
    for width in range(98, 116):
        blobs = Image.fromarray(random.integers(40, 216, (3, 4, 3), np.uint8))
        picture = blobs.resize((width, 90), Image.BICUBIC)
        frame = frame_of(np.asarray(picture), shape)
        for height, narrower in ((60, width * 60 // 90), (60, width), (90, width - 7)):
            found = Pixels()(frame, height, narrower).astype(int)
            error = found - np.asarray(picture.resize((narrower, height), Image.BILINEAR))
            assert np.abs(error).max() <= 24 and abs(error.mean()) < 0.7, (width, height, narrower)
            assert np.abs(error).mean() < 1.2, (width, height, narrower)


def test_what_a_file_says_at_its_start_alone_holds_after_a_seek(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        stream.options = {"preset": "medium", "g": "12", "crf": "18"}
        random = np.random.default_rng(0)
        for _ in range(30):
            blobs = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8))
            image = np.asarray(blobs.resize((64, 48), Image.BICUBIC))
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode())
    data = path.read_bytes()
    assert data.count(b"x264 - core 1") == 1
    path.write_bytes(data.replace(b"x264 - core 16", b"x264 - core 14"))
    info = probe(str(path))
    assert len(info.keyframes) > 1
    whole = read_frames(str(path), info, np.arange(30))
    # Passed off as of an old x264, the frames are spoilt, and not quite alike; but 40 levels off
    # where nothing was known.
    found = read_frames(str(path), info, np.array([25]))[0]
    assert np.abs(found.astype(int) - whole[25]).mean() < 5


def test_rotation(tmp_path):
    path = rotate(write_video(tmp_path / "a.mp4"))
    info = probe(path)
    assert (info.height, info.width) == (64, 48)
    frame = read_frames(path, info, np.array([3]))[0]
    assert frame.shape == (64, 48, 3)
    # A quarter turn clockwise takes the top left to the top right.
    assert np.abs(frame[8, 40].astype(int) - RED).max() < 30
    assert number_of(np.rot90(frame)) == 3


def test_resampling_by_timestamps():
    np.testing.assert_array_equal(resampling.resample(np.arange(90) / 25), np.arange(90))
    # 30 to 25 frames/s drops one in six; 12.5 shows each twice; the duration stays.
    shown = resampling.resample(np.arange(30) / 30)
    assert len(shown) == 25 and len(set(shown.tolist())) == 25
    np.testing.assert_array_equal(resampling.resample(np.arange(5) / 12.5), np.arange(10) // 2)
    # Rounded to milliseconds, as in Matroska, it is still one to one.
    np.testing.assert_array_equal(resampling.resample(np.round(np.arange(99) / 25, 3)), range(99))
    uneven = np.array([0, 0.04, 0.08, 0.48, 0.52])
    assert resampling.resample(uneven).tolist()[:3] == [0, 1, 2]
    assert resampling.resample(uneven)[11] == 2 and resampling.resample(uneven)[12] == 3


def test_damaged_clocks_cannot_ask_for_a_million_frames(tmp_path):
    times = [number / 25 for number in range(20)]
    times += [3600 * 24 + number / 25 for number in range(20)]
    info = probe(write_video(tmp_path / "gap.mkv", frames=40, times=times))
    assert len(info.positions()) == pytest.approx(40, abs=2)
    late = [100 + number / 25 for number in range(30)]
    info = probe(write_video(tmp_path / "late.mkv", frames=30, times=late))
    assert info.times[0] == 0 and len(info.positions()) == 30


def test_clock_mends_missing_and_backward_times():
    class Stream:
        average_rate, time_base = 25, 0.001

    clock = resampling.Clock(Stream)
    stamps = [500, 540, None, 620, 620, 100, 140]
    seconds = [clock.seconds(stamp) for stamp in stamps]
    np.testing.assert_allclose(seconds, np.arange(7) / 25, atol=1e-9)


def test_clock_takes_decoding_times_where_presentation_times_swap():
    class Stream:
        average_rate, time_base = 30, 1 / 30

    clock = resampling.Clock(Stream)
    swapped = [number ^ 1 for number in range(60)]
    seconds = [clock.seconds(pts, dts) for dts, pts in enumerate(swapped)]
    assert (np.diff(seconds) > 0).all()
    assert seconds[-1] == pytest.approx(59 / 30, abs=3 / 30)


def test_cut_off_file_keeps_what_decodes(tmp_path):
    path = write_video(tmp_path / "a.mkv", frames=60)
    data = open(path, "rb").read()
    open(path, "wb").write(data[: len(data) // 2])
    info = probe(path)
    assert 3 <= len(info.times) < 60
    assert number_of(read_frames(path, info, np.array([2]))[0]) == 2


def test_a_frame_that_does_not_decode_shows_the_one_before(tmp_path):
    path = write_video(tmp_path / "a.webm", frames=20, codec="libvpx-vp9", gop=1)
    with av.open(path) as file:
        packet = bytes([packet for packet in file.demux() if packet.size][7])
    data = open(path, "rb").read()
    assert data.count(packet) == 1
    open(path, "wb").write(data.replace(packet, b"\xff" * len(packet)))
    info = probe(path)
    frames = read_frames(path, info, np.array([5, 7, 9]))
    assert [number_of(frame) for frame in frames] == [5, 6, 9]


def test_reasons(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "noise.mp4").write_bytes(random.Random(0).randbytes(5000))
    write_video(tmp_path / "short.mp4", frames=2)
    path = tmp_path / "unknown.mp4"
    path.write_bytes(open(write_video(path), "rb").read().replace(b"avc1", b"zzz1"))
    for name, reason in [
        ("gone.mp4", "no such file"),
        ("empty.mp4", "empty file"),
        ("noise.mp4", "damaged, or not a video"),
        ("short.mp4", r"fewer than 3 frames \(2\)"),
        ("unknown.mp4", "no decoder for its codec"),
    ]:
        with pytest.raises(DecodingError, match=reason):
            probe(str(tmp_path / name))


COMPARE = """
import json, sys
import numpy as np
from vie_tf.data import decoding
assert decoding.choose_decoder('auto') == 'tfio', decoding._tfio()
rows = []
for path in sys.argv[1:]:
    info = decoding.probe(path)
    numbers = np.arange(len(info.times))
    assert decoding._decode_tfio(path, info) is not None, path
    one = decoding.read_frames(path, info, numbers, 'tfio')
    other = decoding.read_frames(path, info, numbers, 'pyav')
    difference = np.abs(one.astype(int) - other)
    rows.append([one.shape, other.shape, float(difference.mean()), int(difference.max())])
print(json.dumps(rows))
"""


@needs_tensorflow_io
def test_tensorflow_io_gives_the_same_frames(tmp_path):
    paths = [
        write_video(tmp_path / "h264.mp4", frames=35),
        write_video(tmp_path / "mpeg4.avi", frames=35, codec="mpeg4"),
        write_video(tmp_path / "vp9.webm", frames=35, codec="libvpx-vp9"),
        rotate(write_video(tmp_path / "turned.mp4", frames=35)),
    ]
    libraries = make(os.path.join(ROOT, "build", "ffmpeg4"))
    done = subprocess.run(
        [sys.executable, "-c", COMPARE, *paths],
        env={**os.environ, "LD_LIBRARY_PATH": libraries, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for path, (one, other, mean, largest) in zip(paths, json.loads(done.stdout.splitlines()[-1])):
        assert one == other, path
        assert one[1:] == ([64, 48, 3] if "turned" in path else [48, 64, 3])
        # The tolerance: rounding of the inverse transform and of the colour conversion.
        assert mean < 0.1 and largest <= 4, (path, mean, largest)


def test_without_ffmpeg_4_the_choice_is_pyav():
    code = "from vie_tf.data import decoding as d; import sys; print(d.choose_decoder('auto'));"
    code += "print('tensorflow' in sys.modules); d.choose_decoder('tfio')"
    environment = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
    )
    if done.stdout.startswith("tfio"):
        pytest.skip("this system has FFmpeg 4 of its own")
    assert done.stdout.split() == ["pyav", "False"]
    assert "use --decoder=pyav" in done.stderr
