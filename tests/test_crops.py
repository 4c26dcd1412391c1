"""Crops against the boxes, laws and pixels of the authors' code and of Pillow."""

import functools

import golden_rule
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pixels import near, reader

from vie_tf.data import crops
from vie_tf.data.augmentation import AUGMENTATIONS
from vie_tf.data.frames import cut

FACTS, ARRAYS = golden_rule.load("augment")
SIZE = FACTS["multiscale_corner_crop"]["source_size_wh"][::-1]
STUDY = AUGMENTATIONS["simclr"].crop
BOX_CROPS = {
    "corner": crops.corner_crop,
    "random_sized": crops.random_sized_crop,
    "study": STUDY,
    "distorted": crops.distorted_crop,
}


@functools.cache
def draws(crop, size, number=2000, image_size=224):
    """Boxes int [number, 4] and flips bool [number] of so many seeds."""

    @tf.function
    def one(seed):
        drawn = crop(tf.constant(size), image_size, tf.stack([seed, 7]))
        return drawn.box, drawn.flip

    boxes, flips = tf.map_fn(one, tf.range(number), fn_output_signature=(tf.int32, tf.bool))
    return boxes.numpy(), flips.numpy()


def shapes(boxes, size=SIZE):
    """Share of the frame, and log of width over height, of boxes."""
    height, width = boxes[:, 2].astype(float), boxes[:, 3].astype(float)
    return height * width / np.prod(size), np.log(width / height)


def picture(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype("uint8")


def test_validation_crop_is_pillows():
    frame = ARRAYS["resize_input"]
    crop = crops.centre_crop(tf.constant(frame.shape[:2]), 56)
    near(cut(reader(frame[None]), crop, 56)[0], ARRAYS["val_64_56"], 0.2, 1)


@pytest.mark.parametrize("size", [(256, 340), (48, 36), (640, 32), (17, 400)])
@pytest.mark.parametrize("image_size", [224, 56, 32])
def test_cut_is_the_crop_of_the_resized_frame(size, image_size):
    """Decoding only a part of the frame changes nothing, wherever the crop lies."""
    frame = picture(size)
    for seed in range(3):
        crop = crops.random_crop(tf.constant(size), image_size, tf.constant([seed, 1]))
        ours = cut(reader(frame[None]), crop, image_size)[0][0].numpy()
        height, width = crop.resized.numpy()
        whole = np.asarray(Image.fromarray(frame).resize((width, height), Image.BILINEAR))
        top, left = crop.corner.numpy()
        expected = whole[top : top + image_size, left : left + image_size]
        near(ours[:, ::-1] if crop.flip else ours, expected, 0.3, 2)


def test_random_crops_have_the_stated_ranges():
    drawn = [
        crops.random_crop(tf.constant([256, 340]), 224, tf.constant([s, 7])) for s in range(400)
    ]
    shorts = np.array([crop.resized.numpy().min() for crop in drawn])
    assert shorts.min() >= 256 and shorts.max() <= 319 and len(set(shorts)) == 64
    assert {int(crop.corner[0]) for crop in drawn} >= {0, 1, 2, 3}
    assert 0.4 < np.mean([bool(crop.flip) for crop in drawn]) < 0.6


def test_corner_crops_are_the_authors_boxes_as_often():
    theirs = FACTS["multiscale_corner_crop"]["boxes_x1y1x2y2"]
    theirs = {tuple(map(int, key.strip("()").split(","))): n for key, n in theirs.items()}
    boxes = draws(crops.corner_crop, tuple(SIZE))[0]
    ours, counts = np.unique(boxes, axis=0, return_counts=True)
    ours = {
        (left, top, left + width, top + height): n / len(boxes)
        for (top, left, height, width), n in zip(ours.tolist(), counts)
    }
    assert ours.keys() == theirs.keys()
    total = sum(theirs.values())
    for box, n in theirs.items():  # 23 boxes, four standard deviations
        assert abs(ours[box] - n / total) < 4 * np.sqrt(n / total * (1 / total + 1 / len(boxes)))


@pytest.mark.parametrize("key", [key for key in ARRAYS if key.startswith("corner/")])
def test_corner_crops_pixels(key):
    """The box of that name and scale is among those drawn, and cut as the authors cut it."""
    place, scale = key.split("/")[1].split("_")
    frame, seed = ARRAYS["resize_input"], 0
    height, width = frame.shape[:2]
    side = int(height * float(scale) + 1e-3)
    top, left = {"tl": (0, 0), "br": (height - side, width - side), "c": (None, None)}[place]
    if place == "c":
        side = side // 2 * 2
        top, left = height // 2 - side // 2, width // 2 - side // 2
    while True:
        assert seed < 200
        crop = crops.corner_crop(tf.constant(frame.shape[:2]), 28, tf.constant([seed, 0]), False)
        if crop.box.numpy().tolist() == [top, left, side, side]:
            break
        seed += 1
    near(cut(reader(frame[None]), crop, 28)[0][0], ARRAYS[key], 0.3, 1)


def test_squeezed_crops():
    """136 by 136 whatever the frame's shape, of it 112 anywhere; tests take the centre."""
    size = (90, 131)
    frame = picture(size)
    whole = np.asarray(Image.fromarray(frame).resize((136, 136), Image.BILINEAR))
    corners = []
    for seed in range(30):
        crop = crops.squeezed_crop(tf.constant(size), 112, tf.constant([seed, 1]))
        top, left = crop.corner.numpy()
        corners += [top, left]
        if seed < 4:
            ours = cut(reader(frame[None]), crop, 112)[0][0].numpy()
            expected = whole[top : top + 112, left : left + 112]
            near(ours[:, ::-1] if crop.flip else ours, expected, 0.3, 2)
    assert min(corners) == 0 and max(corners) == 24 and len(set(corners)) > 15
    centre = crops.squeezed_centre(tf.constant(size), 112)
    near(cut(reader(frame[None]), centre, 112)[0][0], whole[12:124, 12:124], 0.3, 2)


def test_shaken_frames_are_each_a_crop_of_its_own():
    """Around one place, and cut from the whole frame as any crop is."""
    size, shaken = (120, 160), AUGMENTATIONS["opn"]
    frames = np.stack([picture(size, seed) for seed in range(4)])
    moves = []
    for seed in range(100):
        drawn = tf.constant([seed, 1])
        plain = shaken.crop(tf.constant(size), 80, drawn)
        crop = shaken.training_crop(tf.constant(size), 80, 4, drawn)
        corners, free = crop.corner.numpy(), crop.resized.numpy() - 80
        assert (0 <= corners).all() and (corners <= free).all()
        moves += (corners - plain.corner.numpy()).ravel().tolist()
        if seed < 3:
            ours = cut(reader(frames), crop, 80)[0].numpy()
            height, width = crop.resized.numpy()
            for frame, found, (top, left) in zip(frames, ours, corners):
                whole = Image.fromarray(frame).resize((width, height), Image.BILINEAR)
                expected = np.asarray(whole)[top : top + 80, left : left + 80]
                near(found[:, ::-1] if crop.flip else found, expected, 0.3, 2)
    assert set(moves) == set(range(-5, 6)) and abs(np.mean(moves)) < 0.5
    again = shaken.training_crop(tf.constant(size), 80, 4, tf.constant([99, 1]))
    np.testing.assert_array_equal(again.corner, corners)


def test_random_sized_crops_have_the_authors_law():
    boxes, flips = draws(crops.random_sized_crop, tuple(SIZE))
    theirs = FACTS["random_sized_crop_224"]
    for ours, key, error in zip(shapes(boxes), ("area_fraction", "log_aspect"), (0.045, 0.03)):
        assert theirs[key]["min"] - 0.02 < ours.min() and ours.max() < theirs[key]["max"] + 0.02
        for percent, value in theirs[key]["quantiles"].items():
            assert abs(np.percentile(ours, int(percent)) - value) < error
    assert 0.46 < flips.mean() < 0.54
    inside(boxes, SIZE)


def inside(boxes, size):
    """Checks that boxes lie in the frame, some at every border."""
    end = boxes[:, :2] + boxes[:, 2:]
    assert (boxes[:, :2] >= 0).all() and (end <= size).all()
    assert (boxes[:, :2].min(axis=0) == 0).all() and (end.max(axis=0) == size).all()


def test_the_studys_crops_have_its_law():
    """Against ten attempts of a box of uniform area and log-uniform shape, in NumPy."""
    rng, expected = np.random.default_rng(0), []
    while len(expected) < 4000:
        area, shape = rng.uniform(0.2, 0.766), rng.uniform(-np.log(4 / 3), np.log(4 / 3))
        height, width = np.sqrt(area * np.prod(SIZE) * np.exp([-shape, shape]))
        if round(height) <= SIZE[0] and round(width) <= SIZE[1]:
            expected.append((area, shape))
    boxes = draws(STUDY, tuple(SIZE))[0]
    for ours, law in zip(shapes(boxes), np.transpose(expected)):
        percents = (1, 5, 25, 50, 75, 95, 99)
        differences = np.percentile(ours, percents) - np.percentile(law, percents)
        assert np.abs(differences).max() < 0.035, differences
    inside(boxes, SIZE)


def test_imagenets_crops_have_the_law_of_tensorflows_op():
    """The aspect is uniform, and then the height, between those of 0.2 and 1 of the frame."""
    boxes = draws(crops.distorted_crop, tuple(SIZE))[0]
    area, shape = shapes(boxes)
    assert 0.2 - 0.01 < area.min() and area.max() <= 1 and not (boxes[:, 2:] == SIZE).all(1).any()
    assert np.log(0.745) < shape.min() and shape.max() < np.log(1.345)
    rng = np.random.default_rng(0)
    aspect = rng.uniform(3 / 4, 4 / 3, 4000)
    lowest = np.sqrt(0.2 * np.prod(SIZE) / aspect)
    highest = np.minimum(np.sqrt(np.prod(SIZE) / aspect), SIZE[0])
    law = rng.uniform(lowest, np.minimum(highest, SIZE[1] / aspect)) ** 2 * aspect / np.prod(SIZE)
    percents = (1, 5, 25, 50, 75, 95, 99)
    assert np.abs(np.percentile(area, percents) - np.percentile(law, percents)).max() < 0.04


def test_of_a_frame_in_which_no_draw_fits():
    """VIE and ImageNet take a random square of the short side, the study the centre."""
    for crop in (crops.random_sized_crop, crops.distorted_crop):
        boxes = draws(crop, (2000, 100), 200)[0]
        assert (boxes[:, 1:] == [0, 100, 100]).all()
        assert boxes[:, 0].min() < 100 and 1800 < boxes[:, 0].max() <= 1900
    assert (draws(STUDY, (2000, 100), 20)[0] == [933, 0, 133, 100]).all()
    assert (draws(STUDY, (100, 2000), 20)[0] == [0, 933, 100, 133]).all()


@pytest.mark.parametrize("name", BOX_CROPS)
def test_box_crops_are_cut_before_they_are_resized(name):
    """As Pillow does it, and nothing from outside of the box enters."""
    size, image_size = (90, 131), 48
    frame = picture(size)
    for seed in range(6):
        crop = BOX_CROPS[name](tf.constant(size), image_size, tf.constant([seed, 3]))
        top, left, height, width = crop.box.numpy()
        marked = np.full_like(frame, 255)
        marked[top : top + height, left : left + width] = 0
        assert not cut(reader(marked[None]), crop, image_size)[0].numpy().any()
        if crop.area:
            continue
        part = frame[top : top + height, left : left + width]
        expected = Image.fromarray(part).resize((image_size, image_size), Image.BILINEAR)
        ours = cut(reader(frame[None]), crop, image_size)[0][0].numpy()
        near(ours[:, ::-1] if crop.flip else ours, np.asarray(expected), 0.3, 2)


def test_imagenets_test_crop_averages_areas():
    frame = picture((512, 640))
    crop = crops.area_crop(tf.constant([512, 640]), 224)
    blocks = frame[32:480, 96:544].reshape(224, 2, 224, 2, 3)
    near(cut(reader(frame[None]), crop, 224)[0][0], blocks.mean(axis=(1, 3)), 0.3, 0.5)


def test_square_crop_is_all_of_the_short_side():
    frame = picture((90, 131))
    ours = cut(reader(frame[None]), crops.square_crop(tf.constant([90, 131]), 56), 56)[0]
    left = round((131 - 90) / 2)
    expected = Image.fromarray(frame[:, left : left + 90]).resize((56, 56), Image.BILINEAR)
    near(ours[0], np.asarray(expected), 0.3, 2)
    small, centre = (
        crop(tf.constant([90, 131]), 112) for crop in (crops.square_crop, crops.centre_crop)
    )
    assert (small.resized == centre.resized).numpy().all() and (
        small.resized == [128, 186]
    ).numpy().all()


def test_ten_crops():
    """Centre, corners, and mirror images, of the resized frame."""
    size, image_size = (90, 131), 56
    frame = picture(size)
    whole = np.asarray(Image.fromarray(frame).resize((93, 64), Image.BILINEAR))
    corners = [(4, 18), (0, 0), (0, 37), (8, 0), (8, 37)]
    for view in range(crops.TEN.views):
        crop = crops.TEN.of(tf.constant(size), image_size, tf.constant(view, tf.int64))
        top, left = corners[view % 5]
        expected = whole[top : top + image_size, left : left + image_size]
        ours = cut(reader(frame[None]), crop, image_size)[0][0].numpy()
        near(ours[:, ::-1] if view >= 5 else ours, expected, 0.3, 2)
