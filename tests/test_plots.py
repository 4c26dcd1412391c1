import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from vie_tf.drawing.plots import learning_curves
from vie_tf.errors import InputError


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, most recent last."""
    figures, save = [], Figure.savefig

    def keep(figure, *args, **kwargs):
        figures.append(figure)
        return save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def draw(tmp_path, records, more=""):
    lines = tmp_path / "metrics.jsonl"
    lines.write_text("".join(json.dumps(record) + "\n" for record in records) + more)
    learning_curves(lines, tmp_path / "curves.png")
    return imread(tmp_path / "curves.png")


def panels(figure):
    return {axes.get_title("left"): axes for axes in figure.axes}


def points(axes):
    return [line.get_xydata().tolist() for line in axes.lines]


def test_all_metrics(tmp_path, drawn):
    records = [{"step": 0, "recall_at_1": 0.125, "knn_top1": 0.3, "effective_dimension": 2.5}]
    for step in (10, 20):
        records.append(
            {"step": step, "loss": 7 - step / 10, "learning_rate": 0.03, "data_wait": 0.1}
        )
        records[-1]["clips_per_second"] = 300
    records[-1].update(recall_at_1=0.75, knn_top1=0.5, effective_dimension=40)
    picture = draw(tmp_path, records)
    assert (picture[0, 0, :3] == 1).all() and picture[..., :3].std() > 0.05
    got = panels(drawn[-1])
    assert len(got) == 7
    assert points(got["loss"])[0] == [[10, 6], [20, 5]]
    assert got["loss"].get_title("right") == "5.00"
    assert got["recall at 1"].get_title("right") == "0.750"
    assert points(got["recall at 1"])[0] == [[0, 0.125], [20, 0.75]]
    untrained = [line for line in got["recall at 1"].lines if line.get_linestyle() == "--"]
    assert len(untrained) == 1 and set(untrained[0].get_ydata()) == {0.125}
    assert [text.get_text() for text in got["recall at 1"].texts] == ["untrained 0.125"]
    assert len({axes.get_xlim() for axes in got.values()}) == 1


def test_missing_metrics_have_no_panel(tmp_path, drawn):
    draw(tmp_path, [{"step": 1, "loss": 3.0}, {"step": 2, "loss": None, "knn_top1": 0.5}])
    got = panels(drawn[-1])
    assert list(got) == ["k-NN accuracy", "loss"]
    assert not got["k-NN accuracy"].texts  # no step 0, nothing untrained


def test_untrained_network_alone(tmp_path, drawn):
    draw(tmp_path, [{"step": 0, "recall_at_1": 0.1}])
    assert list(panels(drawn[-1])) == ["recall at 1"]


def test_killed_and_continued_run(tmp_path, drawn):
    records = [{"step": s, "loss": v} for s, v in [(1, 5), (2, 4), (3, 9), (2, 4), (3, 3)]]
    records.insert(2, {"step": 4, "loss": float("nan")})
    draw(tmp_path, records, more='\n{"step": 4, "lo')
    assert points(panels(drawn[-1])["loss"])[0] == [[1, 5], [2, 4], [3, 3]]


def test_long_noisy_curve_ends_at_its_mean(tmp_path, drawn):
    draw(tmp_path, [{"step": s, "loss": 2 + s % 2, "learning_rate": s} for s in range(400)])
    got = panels(drawn[-1])
    raw, mean = (np.array(line)[:, 1] for line in points(got["loss"])[:2])
    assert raw[-1] == 3 and len(mean) == 400
    np.testing.assert_allclose(mean[10:], 2.5)
    assert got["loss"].get_title("right") == "2.50"
    assert got["learning rate"].get_title("right") == "4e+02"


def test_nothing_to_draw(tmp_path):
    with pytest.raises(InputError, match="there is no .*metrics.jsonl"):
        learning_curves(tmp_path / "metrics.jsonl", tmp_path / "curves.png")
    with pytest.raises(InputError, match="no metrics yet"):
        draw(tmp_path, [{"step": 1}])
