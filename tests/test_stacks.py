"""TensorFlow 2.15 and 2.21: what one has made, the other goes on with."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import stack_runs
import tensorflow as tf

from vie_tf.keras2 import keras

ROOT = Path(__file__).resolve().parents[1]
NEWER = tuple(map(int, tf.__version__.split(".")[:2])) >= (2, 16)


@pytest.fixture(params=["2.15.1", "2.21.0"])
def made(request, tmp_path):
    subprocess.run(["tar", "-xJf", stack_runs.archive(request.param), "-C", tmp_path], check=True)
    return tmp_path


def test_a_run_of_either_goes_on_on_prepared_videos_of_either(made):
    """A step is the same but for rounding, which normalisation over eight clips amplifies."""
    losses, kept = stack_runs.train(made, 8), json.loads((made / "losses.json").read_text())
    assert len(losses) == 8 and losses[:4] == kept[:4]
    assert losses[4] == pytest.approx(kept[4], rel=1e-5)
    assert losses == pytest.approx(kept, rel=1e-3)


def test_a_saved_model_of_either_is_served(made):
    with np.load(made / "values.npz") as values:
        found = stack_runs.embeddings(made, values["clips"])
        np.testing.assert_allclose(found, values["embeddings"], atol=1e-6)


def test_keras_is_keras_2():
    assert keras.__name__.split(".")[0] == ("tf_keras" if NEWER else "keras")
    assert not hasattr(keras, "ops")  # Keras 3 has them


def test_the_lists_of_releases_fit_the_package():
    """Each list of releases is within setup.py's bounds."""
    from packaging.requirements import Requirement

    asked = [Requirement(x) for x in re.findall(r'"([a-z_-]+(?:[=<>][^"{}]*))"', _setup())]
    assert {"numpy", "av", "pillow"} <= {x.name for x in asked}
    files = sorted((ROOT / "constraints").glob("*.txt"))
    assert len(files) > 3
    for file in files:
        lines = [x for x in file.read_text().splitlines() if x and not x.startswith("#")]
        releases = dict(line.lower().split("==") for line in lines)
        for one in asked:
            if one.name in releases:
                assert one.specifier.contains(releases[one.name]), (file.name, one.name)


def _setup() -> str:
    return (ROOT / "setup.py").read_text().split("install_requires")[1].split("extras_require")[0]


def test_no_private_name_of_tensorflow_or_keras():
    private = re.compile(
        r"tensorflow\.python|keras\.src|tf\.__internal__|[^_]keras\._[a-z]|tf\._[a-z]"
    )
    for folder in ("vie_tf", "data_prep"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not private.search(path.read_text()), path


def test_keras_is_imported_in_one_place():
    own = re.compile(
        r"^ *(from tensorflow(\.keras| import .*keras)|(import|from) (tf_)?keras)", re.M
    )
    folders = ("vie_tf", "data_prep", "benchmarks", "tests")
    files = [x for folder in folders for x in sorted((ROOT / folder).rglob("*.py"))]
    assert [x.name for x in files if own.search(x.read_text())] == ["keras2.py"]


def test_what_tensorflow_calls_deprecated_fails_where_we_call_it():
    with pytest.raises(DeprecationWarning, match="test_stacks.py"):
        tf.compat.v1.to_float(1)
