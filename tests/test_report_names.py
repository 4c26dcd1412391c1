"""What networks and data sets are called in reports, and so which cells of the paper they fill."""

import re

import pytest
from reported import VIE, filled, fine_tuned, read_out, report, rows, run_of

from vie_tf.report import findings, names, text

OPN = ("--family=opn", "--loss=order", "--augmentation=opn")
ROTATION = ("--family=rotnet3d", "--loss=rotation", "--augmentation=rotnet")


@pytest.mark.parametrize(
    "words, name",
    [
        (OPN, "OPN"),
        (ROTATION, "3DRotNet"),
        (["--family=trn", *OPN[1:]], "OPN-TRN"),
        (["--family=resnet3d", *ROTATION[1:]], "3DRotNet-3DResNet"),
        (["--family=trn", "--loss=order"], "OPN-TRN --augmentation=colour_noise"),
        ([*VIE, "--steps=0"], "Random"),
        (["--family=single", "--loss=supervised", "--steps=0"], "Random"),
        (["--family=slow", "--loss=vie", "--steps=0"], "Random-Slow"),
        (["--family=rotnet3d", "--loss=vie"], "VIE-rotnet3d"),
    ],
)
def test_names_of_networks(tmp_path, words, name):
    run = run_of(tmp_path / "run", "kinetics", *words)
    read_out(run, "digits", conv5=0.4)
    (found,) = findings.gather([str(tmp_path)])
    assert names.model(found) == name
    if name != "Random":
        read_out(run, "kinetics", conv5=0.4)
        assert not report(tmp_path)[0]


@pytest.mark.parametrize(
    "words, start, name",
    [
        (["--family=single", "--loss=ir", "--steps=0"], "order", "Single, from OPN"),
        (["--family=trn", "--loss=la", "--steps=0"], "vie", "TRN, from VIE"),
        (["--family=single", "--loss=ir"], "order", "VIE-Single (IR), from OPN"),
        (["--family=trn", "--loss=la"], "vie", "VIE-TRN"),
    ],
)
def test_what_learned_nothing_is_named_by_its_start(tmp_path, words, start, name):
    vie = run_of(tmp_path / "vie", "kinetics", *VIE)
    run = run_of(tmp_path / "run", "kinetics", *words, f"--start_from={vie}", start=start)
    read_out(run, "kinetics", conv5=0.4)
    (found,) = findings.gather([str(tmp_path)])
    assert names.model(found) == name
    assert bool(report(tmp_path)[0]) == (name == "VIE-TRN")


def test_baselines_beside_those_that_the_paper_quotes(tmp_path):
    run_of(tmp_path / "opn", "kinetics", *OPN)
    run_of(tmp_path / "rotnet", "kinetics", *ROTATION)
    words = ("--image_size=224",)
    fine_tuned(
        tmp_path / "a", "ucf101", "order", "multi_scale", 101, *words, start_from="opn", top1=0.5
    )
    words = ("--family=rotnet3d",)
    fine_tuned(
        tmp_path / "b", "hmdb51", "rotation", "rotnet", 51, *words, start_from="rotnet", top1=0.3
    )
    papers, plain = report(tmp_path)
    assert filled(papers) == {
        ("2", "AlexNet, OPN", "UCF101"): (0.5,),
        ("2", "3DResNet, 3DRotNet (RGB)", "HMDB51"): (0.3,),
    }
    said = text.markdown(papers, plain)
    assert re.search(r"\| AlexNet, OPN \|.* 56.3 \| 50.0 \| 22.1 \|  \|", said)
    assert "(ours is ResNet18, OPN, seed 0" in said


def test_the_papers_trn_starts_from_vie_single(tmp_path):
    for name, words in {"vie": [], "share": ["--subset=0.3"]}.items():
        run_of(tmp_path / name, "kinetics", *VIE, *words)
        words = ("--family=trn", "--loss=la", f"--start_from={tmp_path / name}")
        run = run_of(tmp_path / f"trn {name}", "kinetics", *words, start="vie", start_step=7)
        read_out(run, "kinetics", conv5=0.45 if name == "vie" else 0.3)
    words = (*VIE, f"--start_from={tmp_path / 'vie'}")
    again = run_of(tmp_path / "again", "kinetics", *words, start="supervised", start_step=7)
    read_out(again, "kinetics", conv5=0.2)
    papers, plain = report(tmp_path)
    assert filled(papers) == {("1", "VIE-TRN", "Kinetics Conv5"): (0.45,)}
    assert {row: x["conv5"] for row, x in rows(plain).items()} == {
        "VIE-TRN": (0.3,),
        "VIE-Single, from Supervised": (0.2,),
    }


@pytest.mark.parametrize(
    "path, name",
    [
        ("/data/kinetics400", "Kinetics"),
        ("/data/Kinetics-400/", "Kinetics"),
        ("kinetics", "Kinetics"),
        ("s3://bucket/k400.csv", "Kinetics"),
        ("/data/kinetics-project/ucf101", "UCF101"),
        ("/data/kinetics700", ""),
        ("/data/kinetics600.csv", ""),
        ("/data/kinetics400/videos", ""),
        ("/data/UCF101", "UCF101"),
        ("/data/ucf50", ""),
        ("/imagenet/places", ""),
        ("/imagenet.csv", "ImageNet"),
        ("/hmdb51", "HMDB51"),
    ],
)
def test_names_of_data_sets(path, name):
    assert names.data_set(path, None) == name
    assert names.data_set(path, 7) == ""


@pytest.mark.parametrize(
    "trained, classes",
    [("/data/kinetics-project/ucf101", 101), ("kinetics700", 700), ("kinetics", 700)],
)
def test_what_was_not_trained_on_the_papers_kinetics(tmp_path, trained, classes):
    run = run_of(tmp_path / "run", trained, *VIE, classes=classes)
    read_out(run, "kinetics", conv5=0.4)
    assert not report(tmp_path)[0]


@pytest.mark.parametrize(
    "family, taps, shown",
    [
        ("slow", {"conv5": 0.4}, None),
        ("slow", {"conv5": 0.4, "conv5-avg": 0.3}, 0.3),
        ("trn", {"conv5": 0.4, "conv5-avg": 0.3}, 0.4),
        ("trn", {"conv5-avg": 0.3}, None),
    ],
)
def test_conv5_of_supervised_networks(tmp_path, family, taps, shown):
    run = run_of(tmp_path / "run", "kinetics", f"--family={family}", "--loss=supervised")
    read_out(run, "imagenet", 1000, **taps)
    papers, plain = report(tmp_path)
    assert list(filled(papers).values()) == ([(shown,)] if shown else [])
    left = {x for row in rows(plain).values() for name, (x,) in row.items() if "top 5" not in name}
    assert left == set(taps.values()) - {shown}
