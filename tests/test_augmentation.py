"""Augmentation against the pixels of the authors' Pillow code, and its own promises."""

import golden_rule
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from vie_tf.data import augmentation
from vie_tf.data.augmentation import ColourNoise, Crop

FACTS, ARRAYS = golden_rule.load("augment")
OPERATIONS = ("brightness", "contrast", "saturation", "hue")
# Pillow rounds to bytes after each operation, and its hue, saturation and value have 256 steps
# each; we compute in floats throughout. Mean and largest difference of grey levels for that.
TOLERANCE = {"brightness": (0.6, 1.0), "contrast": (0.6, 1.6), "saturation": (0.7, 1.6)}
HUE_TOLERANCE = (2.0, 16.0)


def reader(frames):
    return lambda box: tf.constant(frames)[:, box[0] : box[0] + box[2], box[1] : box[1] + box[3]]


def jitter(clip, steps, grey=False):
    """Applies (name, amount) in order through `augmentation.jitter`; the others do nothing."""
    amounts = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0, **dict(steps)}
    order = [name for name, _ in steps]
    order += [name for name in OPERATIONS if name not in order]
    return augmentation.jitter(
        tf.constant(clip, tf.uint8)[None],
        blend=tf.constant([[amounts[name] for name in OPERATIONS[:3]]], tf.float32),
        hue=tf.constant([amounts["hue"]], tf.float32),
        order=tf.constant([[OPERATIONS.index(name) for name in order]]),
        grey=tf.constant([grey]),
    )[0].numpy()


def near(ours, golden, mean, largest):
    difference = np.abs(np.asarray(ours, np.float64) - golden)
    assert difference.mean() <= mean and difference.max() <= largest, (
        difference.mean(),
        difference.max(),
    )


@pytest.mark.parametrize("key", [k for k in ARRAYS if k.split("/")[0] in OPERATIONS])
def test_one_operation(key):
    name, amount = key.split("/")
    ours = jitter(ARRAYS["input"][None], [(name, float(amount))])[0]
    near(ours, ARRAYS[key], *TOLERANCE.get(name, HUE_TOLERANCE))


def test_grey():
    ours = jitter(ARRAYS["input"][None], [], grey=True)[0]
    near(ours, np.repeat(ARRAYS["gray"][..., None], 3, axis=-1), 0.3, 0.6)


def test_validation_crop_is_pillows():
    frame = ARRAYS["resize_input"]
    size = tf.constant(frame.shape[:2])
    crop = augmentation.centre_crop(size, 56)
    near(augmentation.cut(reader(frame[None]), size, crop, 56), ARRAYS["val_64_56"], 0.2, 1)


@pytest.mark.parametrize("run", range(len(FACTS["pixels"]["pipeline_runs"])))
def test_whole_pipeline(run):
    drawn = FACTS["pixels"]["pipeline_runs"][run]
    seed, (height, width) = golden_rule.set_seed(), ARRAYS["resize_input"].shape[:2]
    frames = []
    for frame in range(2):
        grid = np.random.RandomState(80 + seed + frame).randint(0, 256, (6, 8, 3)).astype("uint8")
        frames.append(np.asarray(Image.fromarray(grid).resize((width, height), Image.BILINEAR)))
    _, resized_w, resized_h, _, left, top, *_ = drawn["crop"]
    crop = Crop(
        tf.constant([resized_h, resized_w]), tf.constant([top, left]), tf.constant(drawn["flipped"])
    )
    # The reference colours before it flips; the order makes no difference.
    clip = augmentation.cut(reader(np.stack(frames)), tf.constant([height, width]), crop, 56)
    steps = [tuple(step) for step in drawn["jitter_in_order"]]
    ours = jitter(clip, steps, grey=bool(drawn.get("grayscale", drawn.get("gray", False))))
    near(ours, ARRAYS[f"pipeline/{run}"], *HUE_TOLERANCE)


@pytest.mark.parametrize("size", [(256, 340), (48, 36), (640, 32), (17, 400)])
@pytest.mark.parametrize("image_size", [224, 56, 32])
def test_cut_is_the_crop_of_the_resized_frame(size, image_size):
    """Decoding only a part of the frame changes nothing, wherever the crop lies."""
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype("uint8")
    for seed in range(3):
        crop = augmentation.random_crop(tf.constant(size), image_size, tf.constant([seed, 1]))
        ours = augmentation.cut(reader(frame[None]), tf.constant(size), crop, image_size)[0].numpy()
        height, width = crop.resized.numpy()
        whole = np.asarray(Image.fromarray(frame).resize((width, height), Image.BILINEAR))
        top, left = crop.corner.numpy()
        expected = whole[top : top + image_size, left : left + image_size]
        near(ours[:, ::-1] if crop.flip else ours, expected, 0.3, 2)


def test_draws_have_the_stated_ranges():
    crops = [
        augmentation.random_crop(tf.constant([256, 340]), 224, tf.constant([s, 7]))
        for s in range(400)
    ]
    shorts = np.array([crop.resized.numpy().min() for crop in crops])
    assert shorts.min() >= 256 and shorts.max() <= 319 and len(set(shorts)) == 64
    assert {int(crop.corner[0]) for crop in crops} >= {0, 1, 2, 3}
    assert 0.4 < np.mean([bool(crop.flip) for crop in crops]) < 0.6


def test_colour_noise_is_one_draw_a_clip_and_follows_its_seed():
    frame = ARRAYS["input"]
    clip = tf.constant(np.repeat(frame[None, None], 3, axis=1))  # three equal frames
    clips = tf.repeat(clip, 40, axis=0)
    seeds = tf.stack([tf.range(40), tf.ones(40, tf.int32)], axis=1)
    noisy = augmentation.colour_noise(clips, seeds, ColourNoise()).numpy()
    assert (noisy[:, :1] == noisy).all()
    assert noisy.min() >= 0 and noisy.max() <= 255
    again = augmentation.colour_noise(clips[7:8], seeds[7:8], ColourNoise()).numpy()
    np.testing.assert_allclose(again[0], noisy[7], atol=1e-3)
    assert len({x.tobytes() for x in noisy}) == 40
    spread = np.ptp(noisy, axis=-1).max(axis=(1, 2, 3))
    assert 0.1 < np.mean(spread < 1e-3) < 0.5  # about 0.3 lost their colour
    plain = augmentation.colour_noise(clips, seeds, ColourNoise(0, 0, 0, 0, 0))
    assert (plain.numpy() == clips.numpy()).all()


@pytest.mark.parametrize("clips", [1, 2])
def test_colour_noise_of_a_small_batch_in_a_graph(clips):
    clip = tf.constant(np.random.default_rng(0).integers(0, 256, (clips, 2, 24, 32, 3)), tf.uint8)
    seed = tf.constant([[1, 2], [3, 4]][:clips])
    whole = augmentation.colour_noise(clip, seed, ColourNoise())
    graph = tf.function(lambda *x: augmentation.colour_noise(*x, ColourNoise()))(clip, seed)
    np.testing.assert_allclose(graph, whole, atol=1e-3)
    assert np.abs(whole - tf.cast(clip, tf.float32)).max() > 10
