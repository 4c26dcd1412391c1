"""Augmentation against the pixels of the authors' Pillow code, and its own promises."""

import dataclasses

import golden_rule
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageFilter
from pixels import near, reader
from scipy import ndimage

from vie_tf import device, settings
from vie_tf.data import augmentation, blur
from vie_tf.data.augmentation import AUGMENTATIONS, ColourNoise
from vie_tf.data.crops import Crop
from vie_tf.data.frames import cut

FACTS, ARRAYS = golden_rule.load("augment")
pytestmark = pytest.mark.usefixtures("body")
OPERATIONS = ("brightness", "contrast", "saturation", "hue")
# Pillow rounds to bytes after each operation, and its hue, saturation and value have 256 steps
# each; we compute in floats throughout. Mean and largest difference of grey levels for that.
TOLERANCE = {"brightness": (0.6, 1.0), "contrast": (0.6, 1.6), "saturation": (0.7, 1.6)}
HUE_TOLERANCE = (2.0, 16.0)


def jitter(clip, steps, grey=False, **options):
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
        **options,
    )[0].numpy()


@pytest.mark.parametrize("key", [k for k in ARRAYS if k.split("/")[0] in OPERATIONS])
def test_one_operation(key):
    name, amount = key.split("/")
    ours = jitter(ARRAYS["input"][None], [(name, float(amount))])[0]
    near(ours, ARRAYS[key], *TOLERANCE.get(name, HUE_TOLERANCE))


def test_grey():
    ours = jitter(ARRAYS["input"][None], [], grey=True)[0]
    near(ours, np.repeat(ARRAYS["gray"][..., None], 3, axis=-1), 0.3, 0.6)


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
        tf.constant([0, 0, height, width]),
        tf.constant([resized_h, resized_w]),
        tf.constant([top, left]),
        tf.constant(drawn["flipped"]),
    )
    # The reference colours before it flips; the order makes no difference.
    clip = cut(reader(np.stack(frames)), crop, 56)[0]
    steps = [tuple(step) for step in drawn["jitter_in_order"]]
    ours = jitter(clip, steps, grey=bool(drawn.get("grayscale", drawn.get("gray", False))))
    near(ours, ARRAYS[f"pipeline/{run}"], *HUE_TOLERANCE)


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


def test_colour_noise_apart_is_a_draw_for_each_frame():
    frame = ARRAYS["input"]
    clips = tf.constant(np.broadcast_to(frame, (2, 4, *frame.shape)))  # equal frames
    strength = AUGMENTATIONS["opn_apart"].colour
    noisy = augmentation.colour_noise(clips, seeds(2), strength).numpy()
    assert noisy.shape == clips.shape and len({x.tobytes() for x in noisy.reshape(8, -1)}) == 8
    again = augmentation.colour_noise(clips[1:], seeds(2)[1:], strength).numpy()
    np.testing.assert_allclose(again[0], noisy[1], atol=1e-3)
    shared = augmentation.colour_noise(clips, seeds(2), AUGMENTATIONS["opn"].colour).numpy()
    assert (shared == shared[:, :1]).all()


@pytest.mark.parametrize("clips", [1, 2])
def test_colour_noise_of_a_small_batch_in_a_graph(clips):
    clip = tf.constant(np.random.default_rng(0).integers(0, 256, (clips, 2, 24, 32, 3)), tf.uint8)
    seed = tf.constant([[1, 2], [3, 4]][:clips])
    whole = augmentation.colour_noise(clip, seed, ColourNoise())
    graph = tf.function(lambda *x: augmentation.colour_noise(*x, ColourNoise()))(clip, seed)
    np.testing.assert_allclose(graph, whole, atol=1e-3)
    assert np.abs(whole - tf.cast(clip, tf.float32)).max() > 10


def test_every_augmentation_has_its_name():
    assert tuple(AUGMENTATIONS) == settings.AUGMENTATIONS


def test_grey_before_the_jitter_and_after_it():
    """A turned hue changes the brightness of what has a colour, and nothing of what is grey."""
    frame = ARRAYS["input"][None]
    grey = np.repeat(ARRAYS["gray"][..., None], 3, axis=-1)
    steps = [("hue", 0.27), ("brightness", 0.8)]
    near(jitter(frame, steps, grey=True, grey_first=True)[0], 0.8 * grey, 0.3, 0.6)
    after = jitter(frame, steps, grey=True)[0]
    assert np.ptp(after, axis=-1).max() < 1e-3 and np.abs(after - 0.8 * grey).mean() > 10


def seeds(number):
    return tf.stack([tf.range(number), tf.ones(number, tf.int32)], axis=1)


def test_simclr_draws():
    """Each part by itself, as often and as strong as in the large-scale study."""
    number, strength = 600, AUGMENTATIONS["simclr"].colour
    frame = np.random.default_rng(0).integers(60, 100, (8, 8, 3))
    clips = tf.constant(np.broadcast_to(frame, (number, 1, 8, 8, 3)), tf.uint8)
    only = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "grey": 0, "blur": 0}

    def noisy(**parts):
        part = dataclasses.replace(strength, **{**only, **parts})
        return augmentation.colour_noise(clips, seeds(number), part).numpy()[:, 0]

    factors = noisy(brightness=0.6).mean(axis=(1, 2, 3)) / frame.mean()
    changed = np.abs(factors - 1) > 1e-4
    assert abs(changed.mean() - 0.8) < 0.06
    assert 0.4 <= factors.min() < 0.42 and 1.58 < factors.max() <= 1.6001
    percents = (5, 25, 50, 75, 95)
    law = 0.4 + 1.2 * np.array(percents) / 100
    assert np.abs(np.percentile(factors[changed], percents) - law).max() < 0.08
    grey = np.ptp(noisy(grey=0.2), axis=-1).max(axis=(1, 2)) < 1e-3
    assert abs(grey.mean() - 0.2) < 0.06
    together = augmentation.colour_noise(clips, seeds(number), strength).numpy()[:, 0]
    # Neither the jitter nor the grey is drawn along with the other.
    assert abs((grey & changed).mean() - grey.mean() * changed.mean()) < 0.05
    assert (np.ptp(together, axis=-1).max(axis=(1, 2)) < 1e-2).mean() >= grey.mean()


def test_simclr_blurs_every_second_clip():
    noise = np.random.default_rng(0).integers(0, 256, (1, 1, 224, 224, 3))
    clips = tf.constant(np.repeat(noise, 120, axis=0), tf.uint8)
    ours = augmentation.colour_noise(clips, seeds(120), ColourNoise(0, 0, 0, 0, 0, blur=0.5))
    left = tf.math.reduce_std(ours, axis=(1, 2, 3, 4)).numpy() / noise.std()
    assert abs((left < 0.999).mean() - 0.48) < 0.15  # below sigma 0.2 there is nothing to see
    # White noise keeps 1 / (2 sigma sqrt(pi)) of its deviation; sigma is 2 at most.
    assert 0.141 < left.min() < 0.16 and np.median(left[left < 0.999]) < 0.45


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_blur_is_gaussian(share):
    """Of each frame alone, and its borders go on outside as they end."""
    blocks = np.random.default_rng(0).integers(0, 256, (1, 2, 28, 28, 3))
    clip = blocks.repeat(8, axis=2).repeat(8, axis=3).astype(np.float32)
    ours = blur.blurred(tf.constant(clip), tf.constant([True]), tf.constant([share]))[0].numpy()
    sigma = 0.1 + 1.9 * share
    for frame, soft in zip(clip[0], ours):
        expected = ndimage.gaussian_filter(frame, (sigma, sigma, 0), mode="nearest", truncate=6)
        near(soft, expected, 0.05, 0.6)
        pillows = Image.fromarray(frame.astype("uint8")).filter(ImageFilter.GaussianBlur(sigma))
        inside = (slice(8, -8), slice(8, -8))
        near(soft[inside], np.asarray(pillows)[inside], 1.5, 10)  # three box filters, of bytes
    same = blur.blurred(tf.constant(clip), tf.constant([False]), tf.constant([share]))
    np.testing.assert_allclose(same, clip, atol=1e-3)


def test_blur_stays_in_its_frame_and_clip():
    clips = np.zeros((2, 3, 32, 40, 3), np.float32)
    clips[0, 1] = 255
    ours = blur.blurred(tf.constant(clips), tf.constant([True, True]), tf.constant([1.0, 0.5]))
    np.testing.assert_allclose(ours, clips, atol=1e-3)


def test_those_that_are_chosen_are_blurred_each_by_its_own_width():
    rng = np.random.default_rng(0)
    clips = tf.constant(rng.integers(0, 256, (4, 2, 80, 96, 3)), tf.float32)
    chosen, width = tf.constant([True, False, True, False]), tf.constant([0.2, 0.9, 1.0, 0.0])
    ours = blur.blurred(clips, chosen, width).numpy()
    for i in range(4):
        alone = blur.blurred(clips[i : i + 1], chosen[i : i + 1], width[i : i + 1])
        np.testing.assert_allclose(ours[i], alone[0], atol=1e-3)
        assert (ours[i] == clips[i]).numpy().all() != chosen[i]
    assert ours[2].std() < 0.8 * ours[0].std()


@pytest.mark.parametrize("name", ["colour_noise", "simclr", "imagenet", "opn_apart"])
def test_whole_batches_get_what_frames_get(name, monkeypatch):
    """With the noise of a GPU's way and a processor's, of the same draws."""
    clips = tf.constant(np.random.default_rng(3).integers(0, 256, (9, 3, 20, 24, 3)), tf.uint8)
    found = []
    for gpu in (False, True):
        monkeypatch.setattr(device, "on_gpu", lambda gpu=gpu: gpu)
        found.append(augmentation.colour_noise(clips, seeds(9), AUGMENTATIONS[name].colour).numpy())
    apart = np.abs(found[0] - found[1])
    assert np.median(apart) < 1e-4 and apart.max() < 0.05
    assert np.abs(found[0] - clips.numpy()).max() > 20
