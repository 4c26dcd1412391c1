"""The chain of experiments: its commands are sound, it goes on where it stopped, and reports."""

import csv
import json
import shutil
import sys
from pathlib import Path

import pytest
from absl import flags
from words import parse, vie_tf

from benchmarks import reproduce
from data_prep import moving_digits

FOLDER = Path(__file__).parent.parent / "flags"


@pytest.mark.parametrize("settings", ["digits", "interactions"])
def test_both_starts_are_treated_alike(settings, tmp_path):
    parts = reproduce.chain("videos", FOLDER / settings, ["label", "motion"], 2, tmp_path)
    runs = {}
    for part in parts:
        parse(*part.words)  # every command's flags are known and go together
        given = flags.FLAGS
        if given.mode == "finetune":
            own = {"workdir", "start_from"}
            same = {word for word in part.words if word[2:].split("=")[0] not in own}
            runs.setdefault(frozenset(same), []).append(given.start_from)
    assert len(runs) == 2 * 2 * 2 * 2  # seeds, families, labels, augmentations
    for scratch, vie in runs.values():
        assert scratch is None
        # VIE's, which was trained before, of this family and seed.
        assert ["--mode=pretrain", f"--workdir={vie}"] in [
            [part.words[0], part.words[-1]] for part in parts
        ]
    names = [part.words[-1] for part in parts if "--mode=finetune" in part.words]
    assert len(set(names)) == len(names) == 32


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduce")
    moving_digits.make(str(folder / "digits"), seed=0, limit=60)
    return folder / "digits" / "videos.csv"


@pytest.mark.slow
def test_stops_and_goes_on(digits, tmp_path, monkeypatch, capsys):
    settings = tmp_path / "settings"
    settings.mkdir()
    tiny = "# tiny\n--batch_size=8\n--steps=2\n--precision=float32\n--clips=1\n"
    network = "--family=single\n--image_size=32\n"
    (settings / "vie_single.flags").write_text(tiny + network)
    (settings / "finetune.flags").write_text(tiny + "--learning_rate=0.001\n")
    (settings / "evaluate.flags").write_text("--k=5\n--clips=1\n")
    out = tmp_path / "out"
    ran = []

    def call(command, *words):  # in this process, as TensorFlow takes long to start
        if len(ran) == 3:
            ran.append(None)
            sys.exit(130)
        ran.append(words)
        vie_tf(*words)

    def chain(*more):
        words = [f"--data={digits}", f"--settings={settings}", "--labels=motion", *more]
        monkeypatch.setattr(sys, "argv", ["reproduce", *words, f"--out={out}", "--seeds=1"])
        reproduce.main()

    monkeypatch.setattr(reproduce, "call", call)
    with pytest.raises(SystemExit) as end:
        chain()
    assert end.value.code == 130 and not (out / "report").exists()
    chain()
    assert "ETA" in capsys.readouterr().out
    modes = [words[0] for words in ran if words]
    assert len(modes) == len(set(ran) - {None}) == 12  # none twice
    assert modes.count("--mode=finetune") == 4 and modes[-1] == "--mode=report"
    with (out / "report" / "report.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert all(", motion" in line["table"] for line in lines)
    kinds = {line["table"].split(":")[0] for line in lines}
    assert kinds == {"k-NN", "Retrieval", "Linear read-out", "Fine-tuning"}
    rows = {line["row"] for line in lines if line["table"].startswith("Fine-tuning")}
    assert len(rows) == 4 and sum("Scratch" in row for row in rows) == 2
    tuned = out / "runs" / "vie_single motion multi_scale vie 0"
    assert json.loads((tuned / "results.jsonl").read_text())["classes"] == 6
    assert not (tuned / "checkpoints").exists()
    assert (out / "runs" / "vie_single 0" / "checkpoints").exists()
    before = len(ran)
    chain()  # only reports
    assert len(ran) == before + 1
    with (settings / "finetune.flags").open("a") as file:
        file.write("--weight_decay=0\n")
    with pytest.raises(SystemExit, match="other settings"):
        chain()
    shutil.rmtree(settings)
    with pytest.raises(SystemExit, match="no vie_"):
        chain()
