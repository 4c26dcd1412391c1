"""A mean in a report is over seeds alone, of one experiment and one fold."""

import os

import pytest
from reported import TOP_5, VIE, filled, fine_tuned, read_out, report, rows, run_of

from vie_tf.report import findings, text
from vie_tf.runs import results

CONV5 = ("1", "VIE-Single", "Kinetics Conv5")


def dated(folder, seconds):
    """Lets a run have been evaluated at a time."""
    os.utime(folder / results.FILE, (seconds, seconds))


def test_a_cell_is_of_the_newest_experiment(tmp_path):
    long = {"steps": 600000, "clips": 5, "learning": {"batch_size": "128", "lr_plateau": ""}}
    short, one = {**long, "steps": 1000}, {**long, "clips": 1}
    other = {**long, "learning": {"batch_size": "64", "lr_plateau": ""}}
    for seed in (0, 1):
        run = run_of(tmp_path / f"seed {seed}", "kinetics", *VIE, f"--seed={seed}")
        read_out(run, "kinetics", more={**one, "seed": seed}, conv4=0.2, conv5=0.3)
        read_out(run, "kinetics", more={**other, "seed": seed}, conv5=0.29)
        read_out(run, "kinetics", more={**short, "seed": seed}, conv5=0.05)
        read_out(run, "kinetics", more={**long, "seed": seed}, conv5=0.44 + seed / 100)
    papers, plain = report(tmp_path)
    assert filled(papers)[CONV5] == (0.44, 0.45)
    assert filled(papers)[("1", "VIE-Single", "Kinetics Conv4")] == (0.2, 0.2)
    found = {row: columns["conv5"] for row, columns in rows(plain).items()}
    assert sorted(found.values()) == [(0.05, 0.05), (0.29, 0.29), (0.3, 0.3)]
    assert all("conv4" not in columns for columns in rows(plain).values())
    (row,) = [row for row in found if found[row][0] == 0.05]
    assert row.startswith("VIE-Single ") and "--readout steps=1000" in row and "--clips=5" in row
    # Of two runs the newer one's, whatever they are called.
    run = run_of(tmp_path / "again", "kinetics", *VIE, "--clusters=4000")
    read_out(run, "kinetics", more=long, conv5=0.4)
    for name, seconds in (("seed 0", 100), ("seed 1", 200), ("again", 300)):
        dated(tmp_path / name, seconds)
    assert filled(report(tmp_path)[0])[CONV5] == (0.4,)
    dated(tmp_path / "seed 0", 400)
    assert filled(report(tmp_path)[0])[CONV5] == (0.44, 0.45)


def test_a_run_that_was_evaluated_earlier_is_no_other_seed(tmp_path):
    for seed, step in ((0, 7), (1, 9)):
        run = run_of(tmp_path / f"{seed}", "digits", *VIE, f"--seed={seed}")
        read_out(run, "digits", more={"step": step}, conv5=0.4 + seed / 10)
    assert rows(report(tmp_path)[1]) == {
        "VIE-Single --step=7": {"conv5": (0.4,), "conv5 top 5": (1.0,)},
        "VIE-Single --step=9": {"conv5": (0.5,), "conv5 top 5": (1.0,)},
    }


def test_a_test_that_was_repeated_with_other_clips(tmp_path):
    for seed in (0, 1):
        run_of(tmp_path / f"vie {seed}", "kinetics", *VIE, f"--seed={seed}")
        run, seeded = tmp_path / f"tuned {seed}", (f"--seed={seed}",)
        from_vie = {"start_from": f"vie {seed}"}
        fine_tuned(run, "ucf101", "vie", "multi_scale", 101, *seeded, **from_vie, top1=0.5, clips=5)
        again = {**findings.gather([str(run)])[0].values, "clips": 0, "top1": 0.6}
        results.append(run, "finetune", {k: v for k, v in again.items() if k != "kind"})
    papers, plain = report(tmp_path)
    # The seeds' starts differ in their seed too.
    assert filled(papers) == {("2", "ResNet18, VIE", "Multi-scale UCF101"): (0.6, 0.6)}
    assert rows(plain)["ResNet18, VIE"]["top-1"] == (0.5, 0.5)


@pytest.mark.parametrize("data", ["ucf101", "digits"])
def test_other_starts_are_other_experiments(tmp_path, data):
    """In the paper's table and outside of it."""
    starts = {
        "plain": ["kinetics"],
        "share": ["kinetics", "--subset=0.3"],
        "bins": ["kinetics", "--bin_frames=52"],
        "untrained": ["kinetics", "--steps=0"],
        "unmirrored": ["kinetics", "--noflip"],
        "elsewhere": ["kinetics700"],
    }
    for number, (start, (of, *words)) in enumerate(starts.items()):
        run_of(tmp_path / start, of, *VIE, *words)
        run = tmp_path / f"tuned from {start}"
        classes = 101 if data == "ucf101" else 10
        top1 = 0.1 * (number + 1)
        words = (f"--seed={number}", "--image_size=224")
        fine_tuned(run, data, "vie", "multi_scale", classes, *words, start_from=start, top1=top1)
        values = {"data": data, "fingerprint": data, "label_column": "label", "step": 3, "k": 5}
        results.append(run, "knn", {**values, "top1": top1, **TOP_5})
    papers, plain = report(tmp_path)
    if data == "ucf101":
        assert filled(papers) == {("2", "ResNet18, VIE", "Multi-scale UCF101"): (0.1,)}
    else:
        assert not papers
    tops = [x for row in rows(plain).values() for name, x in row.items() if name == "top-1"]
    assert len(tops) == (5 if data == "ucf101" else 6) and all(len(x) == 1 for x in tops)
    near = {row: x["5-NN"] for row, x in rows(plain).items() if "5-NN" in x}
    assert len(near) == 6 and any("--start subset=0.3" in row for row in near)


def test_how_far_the_start_was_trained(tmp_path):
    run_of(tmp_path / "vie", "digits", *VIE)
    for seed, step in ((0, 100), (1, 200)):
        run = tmp_path / f"tuned {seed}"
        fine_tuned(run, "digits", "vie", "multi_scale", 10, f"--seed={seed}", top1=0.5)
        file = run / "data.json"
        file.write_text(file.read_text().replace("{", f'{{"start": "vie", "start_step": {step}, '))
    assert sorted(rows(report(tmp_path)[1])) == [
        "ResNet18, VIE --start step=100",
        "ResNet18, VIE --start step=200",
    ]


def test_a_second_stream_is_the_papers_too(tmp_path):
    run = run_of(tmp_path / "single", "kinetics", *VIE)
    for name, words in {"slow": [], "share": ["--subset=0.3"]}.items():
        second = run_of(tmp_path / name, "kinetics", "--family=slow", "--loss=vie", *words)
        accuracy = 0.47 if name == "slow" else 0.3
        read_out(run, "kinetics", more={"second_workdir": str(second)}, conv5=accuracy)
    papers, plain = report(tmp_path)
    assert filled(papers) == {("1", "VIE-TwoStream-S", "Kinetics Conv5"): (0.47,)}
    assert rows(plain)["VIE-TwoStream-S"]["conv5"] == (0.3,)


def test_an_evaluations_flag_is_not_the_runs(tmp_path):
    """Runs that differ in a flag that evaluations have too."""
    for loss in (0.07, 0.2):
        run = run_of(tmp_path / f"{loss}", "digits", *VIE, f"--temperature={loss}")
        values = {"data": "digits", "fingerprint": "f", "label_column": "label", "k": 5}
        results.append(run, "knn", {**values, "top1": loss, **TOP_5, "temperature": 0.1})
    assert {row: x["5-NN"] for row, x in rows(report(tmp_path)[1]).items()} == {
        "VIE-Single --temperature=0.07": (0.07,),
        "VIE-Single --temperature=0.2": (0.2,),
    }


def test_top_5_of_read_outs(tmp_path):
    run = run_of(tmp_path / "run", "kinetics", *VIE)
    one = {"top1": 0.4, "top1_low": 0.3, "top1_high": 0.5}
    one |= {"top5": 0.7, "top5_low": 0.6, "top5_high": 0.8}
    for data, classes in (("kinetics", 400), ("digits", 10)):
        read_out(run, data, classes, more={"taps": {"conv4": one, "conv5": one}})
    papers, plain = report(tmp_path)
    said = text.markdown(papers, plain)
    assert "|  | conv4 | conv5 | conv4 top 5 | conv5 top 5 |" in said
    top1, top5 = "40.0 (30.0–50.0)", "70.0 (60.0–80.0)"
    assert f"| VIE-Single | {top1} | {top1} | {top5} | {top5} |" in said
    assert f"; Kinetics Conv4 top 5 {top5}; Kinetics Conv5 top 5 {top5}\n" in said
    lines = text.comma_separated(papers, plain).splitlines()
    assert any(x.startswith("Table 1,VIE-Single,Kinetics Conv5 top 5,,0.700000,0.6") for x in lines)


@pytest.mark.parametrize("column, is_first", [("split", True), ("split1", True), ("split2", False)])
def test_the_papers_tables_are_of_the_first_fold(tmp_path, column, is_first):
    words, said = (f"--split_column={column}",), {"split_column": column}
    vie = run_of(tmp_path / "vie", "kinetics", *VIE)
    read_out(vie, "kinetics", more=said, conv5=0.4)
    twin = run_of(tmp_path / "twin", "kinetics", "--loss=supervised", *words)
    values = {"data": "kinetics", "label_column": "label", "top1": 0.6, **TOP_5, **said}
    results.append(twin, "supervised", values)
    tuned = tmp_path / "tuned"
    fine_tuned(tuned, "ucf101", "vie", "multi_scale", 101, *words, **said, top1=0.5)
    # Trained on some fold, and evaluated on all videos.
    other = run_of(tmp_path / "other", "kinetics", "--family=slow", "--loss=vie", *words)
    read_out(other, "kinetics", conv5=0.3)
    papers, plain = report(tmp_path)
    cells = {
        ("1", "VIE-Slow", "Kinetics Conv5"): (0.3,),
        ("1", "VIE-Single", "Super."): (0.6,),
        ("1", "VIE-Single (IR)", "Super."): (0.6,),
        ("2", "ResNet18, VIE", "Multi-scale UCF101"): (0.5,),
        ("3", "VIE-Single", "Kinetics Conv5"): (0.4,),
        CONV5: (0.4,),
    }
    assert filled(papers) == (cells if is_first else {})
    assert bool(plain) != is_first


def test_folds_have_tables_of_their_own(tmp_path):
    for column, top1 in (("split1", 0.5), ("split2", 0.3)):
        words = (f"--split_column={column}",)
        said = {"split_column": column, "fingerprint": f"of {column}", "top1": top1}
        run = tmp_path / column
        fine_tuned(run, "digits", "scratch", "multi_scale", 10, *words, **said)
        values = {"data": "digits", "label_column": "label", "k": 5, **said, **TOP_5}
        results.append(run, "knn", values)
    papers, plain = report(tmp_path)
    assert not papers and {table for table, _ in plain} == {
        "digits (of split1)",
        "digits (of split2), split2",
    }
    tops = {
        name: [x["top-1"].values for x in table.values()]
        for (name, kind), table in plain.items()
        if kind == "finetune"
    }
    assert tops == {"digits (of split1)": [(0.5,)], "digits (of split2), split2": [(0.3,)]}


def test_runs_that_were_moved(tmp_path):
    """With those that they name, whose absolute paths are in their flags and results."""
    place = tmp_path / "runs"
    fast = ("--family=slowfast", "--loss=vie")
    for seed in (0, 1):
        folder, seeded = place / f"seed {seed}", (f"--seed={seed}",)
        single = run_of(folder / "vie", "kinetics", *VIE, *seeded)
        slowfast = run_of(folder / "slowfast", "kinetics", *fast, *seeded)
        second = {"second_workdir": str(slowfast)}
        read_out(single, "kinetics", more=second, conv5=0.4 + seed / 10)
        words = ("--family=trn", "--loss=la", f"--start_from={single}", *seeded)
        trn = run_of(folder / "trn", "kinetics", *words, start="vie", start_step=7)
        read_out(trn, "kinetics", conv5=0.3 + seed / 10)
        # Deeper than its start, beside another run of that name.
        run_of(folder / "tuned" / "vie", "digits", *VIE, *seeded)
        for data, classes in (("ucf101", 101), ("digits", 10)):
            of = ("vie", "multi_scale", classes, *seeded)
            tuned = folder / "tuned" / data
            fine_tuned(tuned, data, *of, start_from=single, top1=0.5 + seed / 10)
            of = (*of, "--family=single+slowfast", f"--second_workdir={slowfast}")
            two = folder / "two" / data
            fine_tuned(two, data, *of, start_from=single, top1=0.6 + seed / 10)
        twin = run_of(folder / "twin", "kinetics", "--loss=supervised", *seeded)
        of = ("supervised", "multi_scale", 51, *seeded)
        fine_tuned(folder / "tuned" / "hmdb51", "hmdb51", *of, start_from=twin, top1=0.7)
    papers, plain = report(place)
    cells = {
        ("1", "VIE-TwoStream-SF", "Kinetics Conv5"): (0.4, 0.5),
        ("1", "VIE-TRN", "Kinetics Conv5"): (0.3, 0.4),
        ("2", "ResNet18, VIE", "Multi-scale UCF101"): (0.5, 0.6),
        ("2", "VIE-TwoStream-SF, VIE", "Multi-scale UCF101"): (0.6, 0.7),
        ("2", "ResNet18, Supervised", "Multi-scale HMDB51"): (0.7, 0.7),
    }
    assert filled(papers) == cells and rows(plain)["ResNet18, VIE"]["top-1"] == (0.5, 0.6)
    moved = tmp_path / "kept" / "elsewhere"
    moved.parent.mkdir()
    place.rename(moved)
    papers, again = report(moved)
    assert filled(papers) == cells and rows(again) == rows(plain)
    # Evaluated again in the new place: of the same second stream.
    single, second = moved / "seed 0" / "vie", moved / "seed 0" / "slowfast"
    read_out(single, "kinetics", more={"second_workdir": str(second)}, conv5=0.45)
    cells["1", "VIE-TwoStream-SF", "Kinetics Conv5"] = (0.45, 0.5)
    assert filled(report(moved)[0]) == cells


def test_what_is_gone_is_no_start(tmp_path):
    """Not the run itself, nor one that started from it, though they have the name."""
    for name, start in (("vie", "trn"), ("trn", "vie")):
        words = (f"--start_from={tmp_path / 'gone' / start}",)
        run = run_of(tmp_path / "runs" / name, "digits", *VIE, *words, start="vie", start_step=7)
        read_out(run, "digits", conv5=0.4)
    run = tmp_path / "runs" / "tuned"
    fine_tuned(run, "ucf101", "vie", "multi_scale", 101, start_from="gone/own", top1=0.5)
    papers, plain = report(tmp_path)
    assert not papers and len(rows(plain)) == 3
