"""--mode=report: tables and pictures of runs, and never a number that no run produced."""

import csv
import re
import shutil

import pytest
from matplotlib import image
from reported import TOP_5, VIE, filled, fine_tuned, read_out, run_of
from words import vie_tf

from vie_tf.errors import InputError
from vie_tf.report import findings, paper, tables, text
from vie_tf.runs import results

TINY = ("--image_size=32", "--batch_size=8", "--steps=1", "--precision=float32", "--clips=2")


@pytest.fixture(scope="module")
def runs(digits, tmp_path_factory):
    """Two seeds of one experiment and one of another, trained and evaluated."""
    folder, data = tmp_path_factory.mktemp("report"), f"--data={digits}"
    for name, words in {
        "ir 0": ["--seed=0"],
        "ir 1": ["--seed=1"],
        "warm": ["--warmup_steps=1"],
    }.items():
        run = f"--workdir={folder / 'runs' / name}"
        vie_tf(data, run, *TINY, *words)
        vie_tf("--mode=knn", data, run, "--k=5", "--clips=2")
    return folder / "runs"


def cells_of(file):
    """report.csv: (table, row, column) -> line."""
    with file.open(encoding="utf-8", newline="") as lines:
        return {(x["table"], x["row"], x["column"]): x for x in csv.DictReader(lines)}


def test_runs_that_are_in_no_table_of_the_paper(runs, tmp_path, capsys):
    vie_tf("--mode=report", f"--workdirs={runs}", f"--out={tmp_path / 'out'}")
    said = capsys.readouterr().out
    lines = cells_of(tmp_path / "out" / "report.csv")
    knn = {row: x for (name, row, column), x in lines.items() if column == "5-NN"}
    (table,) = {name for name, _, column in lines if column == "5-NN"}
    assert "--image_size=32" in table  # of all rows, and so in none
    plain, warm = sorted(knn)
    assert warm.endswith("--warmup_steps=1") and plain.endswith("--warmup_steps=0")
    assert plain.startswith("VIE-Single (IR) --") and "image_size" not in plain
    found = [results.read(runs / name)[0]["top1"] for name in ("ir 0", "ir 1")]
    assert float(knn[plain]["ours"]) == pytest.approx(sum(found) / 2, abs=1e-6)
    ends = [float(knn[plain][end]) for end in ("low", "high")]
    assert ends == pytest.approx([min(found), max(found)], abs=1e-6)
    assert knn[plain]["ends"] == "range" and knn[plain]["runs"] == "2"
    # A run that lacks a flag that all versions have is refused.
    shutil.copytree(runs, tmp_path / "older")
    old = tmp_path / "older" / "ir 1" / "flags.txt"
    old.write_text(old.read_text().replace("--family=single\n", ""))
    with pytest.raises(InputError, match="ir 1/flags.txt is damaged, or of another version"):
        vie_tf("--mode=report", f"--workdirs={tmp_path / 'older'}", f"--out={tmp_path / 'again'}")
    alone = results.read(runs / "warm")[0]
    ends = [float(knn[warm][end]) for end in ("low", "high")]
    assert ends == pytest.approx([alone["top1_low"], alone["top1_high"]], abs=1e-6)
    assert knn[warm]["ends"] == "95 % interval" and not any(x["papers"] for x in lines.values())
    kept = (tmp_path / "out" / "report.md").read_text()
    assert said.split("report:")[0].strip() in kept
    assert f"{100 * sum(found) / 2:.1f} ({100 * min(found):.1f}–{100 * max(found):.1f})" in kept
    assert "No run fills a table of the paper" in kept and "paper's" not in kept
    assert "class recall at 20" in kept and "mean average precision" in kept
    drawn = re.findall(r"!\[.*\]\((.*)\)", kept)
    assert drawn
    for name in drawn:
        assert image.imread(tmp_path / "out" / name).std() > 0.05
    # A report is replaced by the next, other folders are not.
    vie_tf("--mode=report", f"--workdirs={runs / 'warm'}", f"--out={tmp_path / 'out'}")
    assert len(cells_of(tmp_path / "out" / "report.csv")) < len(lines)
    with pytest.raises(InputError, match="holds other files"):
        vie_tf("--mode=report", f"--workdirs={runs}", f"--out={tmp_path}")


def test_the_papers_tables(tmp_path):
    folder = run_of(tmp_path / "single", "/videos/kinetics400", *VIE)
    read_out(folder, "k400.csv", conv3=0.2, conv4=0.3, conv5=0.4)
    read_out(folder, "imagenet", 1000, conv5=0.35)
    stream = {"second_workdir": str(run_of(tmp_path / "slow", "kinetics", "--family=slow", VIE[1]))}
    read_out(folder, "kinetics", more=stream, conv5=0.45)
    read_out(folder, "kinetics", more={"frames_of": "slowfast"}, conv3=0.41)
    read_out(run_of(tmp_path / "random", "digits", "--steps=0"), "kinetics", conv3=0.05)
    words = ("--family=resnet3d", "--loss=vie", "--subset=0.3")
    odd = run_of(tmp_path / "share", "kinetics", *words)
    read_out(odd, "kinetics", conv3=0.11)
    bins = run_of(tmp_path / "bins", "kinetics", *VIE, "--bin_frames=52")
    read_out(bins, "kinetics", conv4=0.22)
    twin = run_of(tmp_path / "twin", "kinetics", "--family=slowfast", "--loss=supervised")
    results.append(twin, "supervised", {"data": "kinetics", "top1": 0.6, **TOP_5, "step": 3})
    read_out(twin, "imagenet", 1000, **{"conv4": 0.37, "conv5": 0.31, "conv5-avg": 0.33})
    papers, rest = tables.in_the_paper(findings.latest(findings.gather([str(tmp_path)])))
    assert filled(papers) == {
        ("1", "VIE-Single", "Kinetics Conv3"): (0.2,),
        ("1", "VIE-Single", "Kinetics Conv4"): (0.3,),
        ("1", "VIE-Single", "Kinetics Conv5"): (0.4,),
        ("1", "VIE-Single", "ImageNet Conv5"): (0.35,),
        ("3", "VIE-Single", "Kinetics Conv3"): (0.2,),
        ("3", "VIE-Single", "Kinetics Conv4"): (0.3,),
        ("3", "VIE-Single", "Kinetics Conv5"): (0.4,),
        ("3", "VIE-Single", "ImageNet Conv5"): (0.35,),
        ("3", "5bin-VIE-Single", "Kinetics Conv4"): (0.22,),
        ("1", "VIE-TwoStream-S", "Kinetics Conv5"): (0.45,),
        ("4", "Sf-Input-Single", "Kinetics Conv3"): (0.41,),
        ("1", "Random", "Kinetics Conv3"): (0.05,),
        ("1", "VIE-Slowfast", "Super."): (0.6,),
        ("5", "Supervised-SlowFast", "ImageNet Conv4"): (0.37,),
        ("5", "Supervised-SlowFast", "ImageNet Conv5"): (0.33,),
    }
    # The last map of a supervised network, not averaged, is not the paper's.
    assert [found.folder for found in rest] == [odd, twin]
    assert list(rest[1].values["taps"]) == ["conv5"]
    said = text.markdown(papers, tables.others(rest))
    assert "| VIE-Single | 57.59 |  | 23.84 | 20.0 (19.0–21.0) | 38.25 | 30.0" in said
    assert "| Supervised-TRN | 22.82 |  | 41.13 |  | 39.15 |  |" in said
    assert "30%-VIE-3DResNet" in said and "no run fills 2." in said
    lines = text.comma_separated(papers, {}).splitlines()
    assert sum(line.startswith("Table 2,") for line in lines) == 53
    assert 'Table 2,"SlowFast, VIE",Color-noise HMDB51,0.5010,,,,,,' in lines


@pytest.mark.parametrize(
    "trained, words, data, classes, cached",
    [
        ("kinetics", [*VIE, "--depth=50"], "kinetics", 400, False),
        ("kinetics", [*VIE, "--image_size=112"], "kinetics", 400, False),
        ("kinetics", [*VIE, "--augmentation=simclr"], "kinetics", 400, False),
        ("kinetics", ["--family=slow", "--loss=vie", "--frame_interval=4"], "kinetics", 400, False),
        ("kinetics", ["--family=slow"], "kinetics", 400, False),  # IR alone
        ("kinetics", VIE, "kinetics", 5, False),
        ("kinetics", VIE, "kinetics", 400, True),
        ("kinetics", VIE, "digits", 400, False),
        ("ucf101", VIE, "kinetics", 400, False),
    ],
)
def test_another_experiment_is_in_no_table_of_the_paper(
    tmp_path, trained, words, data, classes, cached
):
    folder = run_of(tmp_path / "run", trained, *words)
    read_out(folder, data, classes, cached, conv5=0.4)
    papers, rest = tables.in_the_paper(findings.gather([str(tmp_path)]))
    assert not papers and len(rest) == 1


def test_fine_tuning(tmp_path):
    run_of(tmp_path / "vie", "kinetics", *VIE)
    run_of(tmp_path / "supervised", "ucf101", "--loss=supervised")
    fine_tuned(tmp_path / "a", "ucf101", "vie", "multi_scale", 101, top1=0.5, best_top1=0.6)
    fine_tuned(
        tmp_path / "b", "hmdb51", "scratch", "colour_noise", 51, "--family=slowfast", top1=0.3
    )
    fine_tuned(tmp_path / "c", "ucf101", "supervised", "colour_noise", 101, top1=0.7)
    fine_tuned(tmp_path / "d", "ucf101", "vie", "multi_scale", 12, top1=0.4)
    papers, rest = tables.in_the_paper(findings.gather([str(tmp_path)]))
    assert {row: {c: x.values for c, x in cells.items()} for row, cells in papers["2"].items()} == {
        "ResNet18, VIE": {"Multi-scale UCF101": (0.5,)},
        "SlowFast, Scratch": {"Color-noise HMDB51": (0.3,)},
    }
    # Of a start on other videos, and of another number of classes.
    assert [found.folder.name for found in rest] == ["c", "d"]
    assert "| SlowFast, Scratch |" in text.markdown(papers, {})


def test_the_last_evaluation_counts(tmp_path):
    folder = run_of(tmp_path / "single", "kinetics", *VIE)
    read_out(folder, "kinetics", conv4=0.1, conv5=0.2)
    read_out(folder, "kinetics", conv5=0.3)
    (found,) = findings.latest(findings.gather([str(tmp_path)]))
    assert {tap: x["top1"] for tap, x in found.values["taps"].items()} == {
        "conv4": 0.1,
        "conv5": 0.3,
    }
    read_out(folder, "kinetics", more={"step": 9}, conv5=0.4)
    (found,) = findings.latest(findings.gather([str(tmp_path)]))
    assert list(found.values["taps"]) == ["conv5"]


def test_the_papers_numbers_are_whole():
    counts = {name: sum(map(len, table.values())) for name, table in paper.numbers().items()}
    assert counts == {"1": 60, "2": 53, "3": 30, "4": 9, "5": 15}
    assert counts.keys() == paper.TITLES.keys()
    assert paper.numbers()["2"]["SlowFast, VIE"]["Color-noise HMDB51"] == "50.1"


def test_bad_input(tmp_path, capsys):
    with pytest.raises(InputError, match="is not a folder"):
        vie_tf("--mode=report", f"--workdirs={tmp_path / 'none'}", f"--out={tmp_path / 'out'}")
    with pytest.raises(InputError, match="evaluate runs first"):
        vie_tf("--mode=report", f"--workdirs={tmp_path}", f"--out={tmp_path / 'out'}")
    with pytest.raises(SystemExit):
        vie_tf("--mode=report", f"--out={tmp_path / 'out'}")
    assert "needs --workdirs" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
