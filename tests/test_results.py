"""results.jsonl: what is appended is read back, whatever happened to the file between."""

import numpy as np
import pytest

from vie_tf.runs import results


def test_lines_are_read_back_in_order(tmp_path):
    assert results.read(tmp_path) == []
    results.append(tmp_path, "knn", {"step": 6, "top1": np.float32(0.25), "videos": np.int64(4)})
    results.append(tmp_path, "readout", {"step": 8, "taps": {"conv5": {"top1": 0.5}}})
    first, second = results.read(tmp_path)
    assert first == {"kind": "knn", "step": 6, "top1": 0.25, "videos": 4}
    assert second == {"kind": "readout", "step": 8, "taps": {"conv5": {"top1": 0.5}}}
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("half", [b'{"kind": "knn", "st', b"\xff\xfe", b"[1]", b'{"step": 1}'])
def test_a_damaged_line_costs_no_other(half, tmp_path, caplog):
    results.append(tmp_path, "knn", {"step": 1})
    with (tmp_path / "results.jsonl").open("ab") as file:
        file.write(half)
    assert [line["step"] for line in results.read(tmp_path)] == [1]
    assert "results.jsonl: line 2 is damaged" in caplog.text
    results.append(tmp_path, "knn", {"step": 3})
    assert [line["step"] for line in results.read(tmp_path)] == [1, 3]


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path):
    results.append(tmp_path, "knn", {"step": 1})
    with pytest.raises(ValueError):
        results.append(tmp_path, "knn", {"top1": float("nan")})
    with pytest.raises(TypeError):
        results.append(tmp_path, "knn", {"top1": object()})
    assert len(results.read(tmp_path)) == 1
    with pytest.raises(FileNotFoundError) as error:
        results.append(tmp_path / "nowhere", "knn", {})
    assert error.value.filename == str(tmp_path / "nowhere" / "results.jsonl")
