"""Runs made and stopped by earlier code resume as they would have then.

Their numbers are kept (see `small_runs`). On the kind of machine that made them they are equal to
the last bit. Elsewhere rounding differs: without oneDNN's kernels (TF_ENABLE_ONEDNN_OPTS=0) losses
differed by 2e-6, and with batches of four clips by 1e-5 in the first steps and 1e-3 in the last, as
normalisation over so few values amplifies rounding. The tests there still notice a temperature that
is 1 % higher, or another seed.
"""

import json
import shutil

import pytest
import small_runs
from small_runs import CASES, EARLIER, GOLDEN, READ_OUTS, TUNED, lines, run

pytestmark = pytest.mark.usefixtures("real_networks")

# Shares of ten videos or of a batch, of which one that was nearly another may turn over; and what
# such a one changes altogether.
SHARES = ("recall", "class_recall", "map", "top", "accuracy", "close")
OTHERS = ("table", "cluster", "alone", "best_step", "places")
KEPT = json.loads((GOLDEN / "earlier_run.json").read_text())
TWENTY = json.loads((GOLDEN / "losses_of_20_steps.json").read_text())
# Of each kind one that takes a few seconds; the others take minutes.
FAST = ("single", "vie", "supervised")


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    small_runs.narrow(monkeypatch)


@pytest.fixture
def printed(capsys):
    return lambda: capsys.readouterr().out


@pytest.fixture
def earlier(tmp_path):
    return shutil.copytree(GOLDEN / "earlier_run", tmp_path / "run")


def assert_same(found, kept, made_on, off=1e-5, rel=1e-4):
    """Numbers and what holds them; `off` and `rel` are for other machines."""
    if made_on == small_runs.machine():
        assert found == kept
        return
    assert type(found) is type(kept)
    if isinstance(kept, dict):
        assert found.keys() == kept.keys()
        for name in kept:
            share = name.startswith(SHARES) or "_top" in name
            if not name.startswith(OTHERS):
                assert_same(found[name], kept[name], made_on, 0.31 if share else 1e-5, rel)
    elif isinstance(kept, list):
        assert len(found) == len(kept)
        for one, other in zip(found, kept):
            assert_same(one, other, made_on, off, rel)
    elif isinstance(kept, float):
        assert found == pytest.approx(kept, rel=rel, abs=off)
    else:
        assert found == kept


def test_an_earlier_run_goes_on(earlier, prepared):
    found = run(prepared, earlier, EARLIER)
    assert_same(found, KEPT["goes_on"]["lines"], KEPT["made_on"])


def test_an_earlier_run_is_evaluated(earlier, prepared, tmp_path, printed):
    found = small_runs.evaluated(prepared, earlier, tmp_path, printed)
    assert_same(found, KEPT["modes"], KEPT["made_on"])


@pytest.mark.parametrize("which", READ_OUTS)
def test_an_earlier_run_is_read_out(earlier, prepared, which, printed):
    found = small_runs.read_out(prepared, earlier, which, printed)
    assert_same(found, KEPT[which], KEPT["made_on"])


def test_an_earlier_fine_tuning_goes_on(prepared, tmp_path):
    """Where the run that it began with is gone."""
    tuned = shutil.copytree(GOLDEN / "earlier_finetuning", tmp_path / "tuned")
    found = {"lines": run(prepared, tuned, TUNED)}
    found["results"] = lines(tuned / "results.jsonl", ["data"])
    assert_same(found, KEPT["tuned"], KEPT["made_on"])


@pytest.mark.parametrize(
    "case", [pytest.param(x, marks=() if x in FAST else pytest.mark.slow) for x in CASES]
)
def test_20_steps(case, prepared, tmp_path):
    found = small_runs.twenty(prepared, tmp_path / "run", case)
    kept = TWENTY["runs"][case]
    assert_same(found["loss"][:5], kept["loss"][:5], TWENTY["made_on"])
    assert_same(found, kept, TWENTY["made_on"], rel=1e-2)
