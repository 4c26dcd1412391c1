"""Still images as videos of one frame."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from make_videos import RED, picture, write_video
from PIL import Image
from pixels import clip_of
from words import vie_tf

from vie_tf.data.decoding import DecodingError
from vie_tf.data.image_file import read_image
from vie_tf.data.videos import open_videos
from vie_tf.errors import InputError
from vie_tf.models import families

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TURNED = Image.Exif()
TURNED[0x0112] = 6  # a camera held upright: to be turned clockwise
GREY = np.linspace(0, 65535, 48 * 64).reshape(48, 64).astype(np.uint16)


def write_odd(folder):
    """One image of every kind; what each must look like, to within JPEG's loss."""
    image = Image.fromarray(picture(7))
    rgb, grey = picture(7), np.asarray(image.convert("L"))
    image.save(folder / "rgb.JPEG", quality=95)
    image.save(folder / "png.jpg", "PNG")  # as one of ImageNet's
    image.convert("CMYK").save(folder / "cmyk.jpeg", quality=95)
    image.convert("L").save(folder / "grey.bmp")
    image.quantize(16).save(folder / "palette.png")
    image.save(folder / "turned.jpg", quality=95, exif=TURNED)
    image.save(folder / "web.webp", lossless=True)
    clear = image.convert("RGBA")
    clear.putalpha(
        Image.fromarray(
            np.where(np.arange(64) < 32, 255, 0).repeat(48).reshape(64, 48).T.astype(np.uint8)
        )
    )
    clear.save(folder / "clear.png")
    Image.fromarray(GREY).save(folder / "deep.png")
    Image.fromarray(GREY > 32767).save(folder / "bits.png")
    half = np.array(rgb)
    half[:, 32:] = 255
    return {
        **dict.fromkeys(("rgb.JPEG", "png.jpg", "cmyk.jpeg", "palette.png", "web.webp"), rgb),
        "grey.bmp": np.repeat(grey[..., None], 3, 2),
        "turned.jpg": np.rot90(rgb, -1),
        "clear.png": half,
        "deep.png": np.repeat(GREY[..., None] // 256, 3, 2),
        "bits.png": np.repeat((GREY[..., None] > 32767) * 255, 3, 2),
    }


def test_pixels_of_every_kind(tmp_path):
    for name, pixels in write_odd(tmp_path).items():
        image = read_image(str(tmp_path / name))
        assert image.dtype == np.uint8 and image.shape == pixels.shape, name
        assert np.abs(image.astype(int) - pixels).mean() < 4, name


def test_what_is_no_image(tmp_path, monkeypatch):
    Image.fromarray(picture(7)).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "noise.png").write_bytes(np.random.RandomState(0).bytes(999))
    (tmp_path / "empty.jpg").write_bytes(b"")
    Image.new("1", (200, 300)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)  # Pillow refuses twice as many
    for name, reason in (
        ("cut.jpg", "damaged"),
        ("noise.png", "not an image"),
        ("empty.jpg", "empty file"),
        ("large.png", "too many pixels"),
        ("gone.jpg", "no such file"),
    ):
        with pytest.raises(DecodingError, match=reason):
            read_image(str(tmp_path / name))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A CSV of images, some of no use, and a video; and it, prepared."""
    folder = tmp_path_factory.mktemp("images")
    names = [*write_odd(folder), "video.mp4", "noise.png"]
    write_video(folder / "video.mp4", frames=20)
    (folder / "noise.png").write_bytes(np.random.RandomState(0).bytes(999))
    splits = ["train,test" if i < 7 else "test,train" for i in range(len(names))]
    rows = [f"{n},{'ab'[i % 2]},{splits[i]}" for i, n in enumerate(names)]
    (folder / "list.csv").write_text("\n".join(["path,label,split,swapped", *rows]))
    words = [f"--source={folder / 'list.csv'}", f"--out={folder / 'out'}", "--short_side=40"]
    done = subprocess.run(
        [sys.executable, "-m", "data_prep.videos", *words, "--decoder=pyav"],
        **{"capture_output": True, "text": True, "cwd": ROOT},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("11 videos prepared, 1 skipped")
    return folder / "list.csv", folder / "out"


def test_prepared_images_are_videos_of_one_frame(sources):
    with open(sources[1] / "manifest.csv", newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert rows["noise.png"]["reason"] == "Pillow cannot open it: damaged, or not an image"
    turned = rows["turned.jpg"]
    assert [turned[name] for name in ("frames", "height", "width", "source_frames")] == list(
        ("1", "53", "40", "1")
    )
    assert (turned["source_fps"], turned["source_seconds"]) == ("", "")
    assert turned["source_height"] == "64" and int(turned["source_bytes"]) > 0
    ready, raw = (open_videos(str(data), "pyav") for data in reversed(sources))
    assert ready.ids == raw.ids
    np.testing.assert_array_equal(ready.frames, [1] * 10 + [20])
    np.testing.assert_array_equal(raw.frames, ready.frames)
    for videos in (ready, raw):
        row = videos.ids.index("cmyk.jpeg")
        clip = clip_of(videos, row, [0] * 16)
        assert clip.shape == (16, *videos.sizes[row], 3) and (clip == clip[:1]).all()
        np.testing.assert_allclose(clip[0, :15, :15].mean((0, 1)), RED, atol=12)


def test_folder_leaves_pictures_out(sources):
    assert open_videos(str(sources[0].parent), "pyav").ids == ["video.mp4"]


@pytest.mark.parametrize("family", families.FAMILIES)
def test_every_clip_of_an_image_is_the_image(family):
    sampling, one = families.sampling_of(family), tf.constant(1, tf.int64)
    assert not np.any(sampling.random(one, [1, 2])) and not np.any(sampling.spaced(one, 5))


@pytest.mark.slow
def test_a_family_of_clips_sees_an_image_again_and_again(sources, tmp_path, capsys):
    run = ("--image_size=32", "--batch_size=4", "--precision=float32", "--family=slow")
    data, out = f"--data={sources[1]}", tmp_path / "e.npz"
    work = f"--workdir={tmp_path / 'run'}"
    with pytest.raises(InputError, match="=pretrain: .* 10 of 11 videos are still images"):
        vie_tf("--mode=pretrain", data, work, "--steps=0", "--k=2", *run)
    images = sources[0].with_name("images.csv")
    listed = sources[0].read_text().splitlines()
    images.write_text("\n".join(row for row in listed if "video.mp4" not in row))
    vie_tf("--mode=pretrain", f"--data={images}", work, "--steps=0", "--k=2", *run)
    assert "10 of 10 videos are still images" in capsys.readouterr().err
    vie_tf("--mode=embed", data, work, f"--out={out}")
    assert "10 of 11 videos are still images: their clips are one" in capsys.readouterr().err
    saved = np.load(out)
    assert len(saved["ids"]) == 11 and np.isfinite(saved["embeddings"]).all()
    np.testing.assert_allclose(np.linalg.norm(saved["embeddings"], axis=1), 1, rtol=1e-5)
    vie_tf("--mode=knn", data, work, "--k=2")
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["videos"] == 4
    vie_tf("--mode=knn", data, work, "--k=2", "--split_column=swapped")
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["videos"] == 7
    # One clip is as good as five, since all are the same.
    vie_tf("--mode=embed", data, work, f"--out={out}", "--clips=1")
    images = saved["ids"] != "video.mp4"
    once = np.load(out)["embeddings"]
    np.testing.assert_allclose(once[images], saved["embeddings"][images], atol=1e-5)
