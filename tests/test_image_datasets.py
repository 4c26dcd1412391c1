"""ImageNet and Places from miniature trees of what people download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from listing import brief, listed, text, tree

from vie_tf.errors import InputError

SYNSETS = ("n01440764", "n01443537", "n02119789")


def images(folder: Path) -> Path:
    tree(folder, *(f"train/{synset}/{synset}_{n}.JPEG" for synset in SYNSETS for n in (1, 2)))
    tree(folder, "train/n01440764/notes.txt", *(f"val/ILSVRC2012_val_{n:08d}.JPEG" for n in (1, 3)))
    return folder


def test_imagenet_in_folders(tmp_path):
    images(tmp_path)
    tree(tmp_path, "val/n02119789/ILSVRC2012_val_00000001.JPEG")
    rows, said = listed("imagenet", tmp_path)
    assert brief(rows, "label", "split", "class_index") == {
        **{
            f"train/{synset}/{synset}_{n}.JPEG": (synset, "train", str(index))
            for index, synset in enumerate(SYNSETS)
            for n in (1, 2)
        },
        "val/n02119789/ILSVRC2012_val_00000001.JPEG": ("n02119789", "test", "2"),
    }
    assert said[:4] == [
        "imagenet: 7 of 1,331,167 images found",
        "3 classes, officially 1000",
        "split test: 1; officially 50,000",
        "split train: 6; officially 1,281,167",
    ]


def ground_truth(folder: Path, *numbers: str) -> str:
    return text(folder / "data" / "ILSVRC2012_validation_ground_truth.txt", *numbers)


def meta_mat(folder: Path) -> str:
    """The devkit's: leaves first, in no order, then inner nodes."""
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")]
    rows = [(1, "n02119789", 0), (2, "n01443537", 0), (3, "n01440764", 0), (1001, "n00001740", 9)]
    table = np.array([np.array(row, dtype=kind) for row in rows]).reshape(-1, 1)
    scipy.io.savemat(folder / "meta.mat", {"synsets": table})
    return str(folder / "meta.mat")


@pytest.mark.parametrize("kind", ["kaggle", "plain", "mapping", "meta.mat"])
def test_imagenet_with_flat_validation_images(tmp_path, kind):
    images(tmp_path)
    lists = [
        text(
            tmp_path / "val.txt",
            *(
                f"val/ILSVRC2012_val_{n:08d}.JPEG {s}"
                for n, s in ((1, "n02119789"), (2, "n01443537"), (3, "n01440764"))
            ),
        )
    ]
    if kind == "kaggle":
        lists = [
            text(
                tmp_path / "LOC_val_solution.csv",
                "ImageId,PredictionString",
                "ILSVRC2012_val_00000003,n01440764 85 1 499 272 ",
                "ILSVRC2012_val_00000001,n02119789 1 2 3 4 n02119789 5 6 7 8",
                "ILSVRC2012_val_00000002,n01443537 1 2 3 4",
            )
        ]
    elif kind != "plain":
        lists = [ground_truth(tmp_path, "1", "2", "3")]
        with pytest.raises(InputError, match="line 1: nothing says which synset .* class 1 is"):
            listed("imagenet", tmp_path, *lists)
        pairs = ("1 n02119789", "2 n01443537", "3 n01440764")
        mapping = text(tmp_path / "mapping.txt", *pairs)
        lists.append(mapping if kind == "mapping" else meta_mat(tmp_path))
    rows, said = listed("imagenet", tmp_path, *lists)
    assert (
        brief(rows, "label", "split", "class_index").items()
        >= {
            "train/n01443537/n01443537_2.JPEG": ("n01443537", "train", "1"),
            "val/ILSVRC2012_val_00000001.JPEG": ("n02119789", "test", "2"),
            "val/ILSVRC2012_val_00000003.JPEG": ("n01440764", "test", "0"),
        }.items()
    )
    assert len(rows) == 8
    assert "split test: 2 of 3 listed, 1 missing (33.3 %); officially 50,000" in said


def test_imagenet_contradictions(tmp_path):
    images(tmp_path)
    lines = ("ILSVRC2012_val_00000001.JPEG n02119789", "ILSVRC2012_val_00000001.JPEG n01440764")
    with pytest.raises(InputError, match="line 2: the label of .* is n01440764, but n02119789 at"):
        listed("imagenet", tmp_path, text(tmp_path / "val.txt", *lines))
    with pytest.raises(InputError, match="meta.mat: is not the devkit's"):
        listed("imagenet", tmp_path, text(tmp_path / "meta.mat", "x"))
    with pytest.raises(InputError, match="needs ILSVRC2012_validation_ground_truth.txt"):
        listed("imagenet", tmp_path, text(tmp_path / "other.txt", "x"))


PLACES = ("a/abbey", "a/apartment_building/outdoor", "t/train_station/platform")


def test_places_in_folders(tmp_path):
    tree(tmp_path, *(f"places/train/{label}/0001.jpg" for label in PLACES))
    tree(tmp_path, "places/val/a/abbey/0001.jpg", "places/0001.jpg")
    rows, said = listed("places", tmp_path)
    assert brief(rows, "label", "split", "class_index") == {
        **{f"places/train/{n}/0001.jpg": (n, "train", str(i)) for i, n in enumerate(PLACES)},
        "places/val/a/abbey/0001.jpg": ("a/abbey", "test", "0"),
    }
    assert said[0] == "places: 4 of 4 images found" and said[1] == "3 classes"
    assert "1 files left out: not listed, or a second copy" in said


@pytest.mark.parametrize("categories", [True, False])
def test_places_with_lists(tmp_path, categories):
    tree(tmp_path, *(f"data_256/{label}/0001.jpg" for label in PLACES))
    tree(tmp_path, "val_256/Places365_val_00000002.jpg", "data_256/a/abbey/0009.jpg")
    lists = tmp_path / "filelist"
    # Not the alphabetical order.
    pairs = [(PLACES[1], 0), (PLACES[0], 1), (PLACES[2], 2)]
    text(lists / "places365_train_standard.txt", *(f"/{label}/0001.jpg {n}" for label, n in pairs))
    text(lists / "places365_val.txt", *(f"Places365_val_0000000{n}.jpg {n}" for n in (1, 2)))
    text(lists / "places365_test.txt", "Places365_test_00000001.jpg")
    if categories:
        text(lists / "categories_places365.txt", *(f"/{label} {n}" for label, n in pairs))
    rows, said = listed("places", tmp_path, lists)
    assert brief(rows, "label", "split", "class_index") == {
        "data_256/a/abbey/0001.jpg": ("a/abbey", "train", "1"),
        "data_256/a/apartment_building/outdoor/0001.jpg": (PLACES[1], "train", "0"),
        "data_256/t/train_station/platform/0001.jpg": (PLACES[2], "train", "2"),
        "val_256/Places365_val_00000002.jpg": (PLACES[2], "test", "2"),
    }
    assert "split test: 1 of 2 listed, 1 missing (50.0 %)" in said
    text(lists / "places365_val.txt", "Places365_val_00000001.jpg 3")
    with pytest.raises(InputError, match="places365_val.txt line 1: there is no class 3"):
        listed("places", tmp_path, lists)
    text(lists / "places365_val.txt", "a/abbey/0001.jpg 1")
    with pytest.raises(InputError, match="the split of a/abbey/0001.jpg is test, but train at"):
        listed("places", tmp_path, lists)
