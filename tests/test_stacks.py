"""TensorFlow 2.15 and 2.21: what one has made, the other goes on with."""

import ast
import importlib
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import stack_runs
import tensorflow as tf
from packaging.requirements import Requirement
from packaging.version import Version

from vie_tf import keras2
from vie_tf.errors import InputError
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


def test_a_later_tensorflow_needs_tf_keras(monkeypatch):
    monkeypatch.setattr(tf, "__version__", "2.21.0")
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    with pytest.raises(InputError, match="pip install tf-keras==2.21"):
        importlib.reload(keras2)


def test_keras_is_keras_2():
    assert keras.__name__.split(".")[0] == ("tf_keras" if NEWER else "keras")
    assert not hasattr(keras, "ops")  # Keras 3 has them


def test_each_python_has_its_list_of_releases_within_the_packages_bounds():
    files = {file.stem: _releases(file) for file in (ROOT / "constraints").glob("*.txt")}
    lowest = files.pop("lowest")
    old, new = ("3.9", "3.10", "3.11"), ("3.10-newest", "3.11-newest", "3.12", "3.13")
    assert set(files) == {*old, *new}
    for name, releases in {"3.9 lowest": lowest, **files}.items():
        extra = "cpu-newest" if name.endswith("newest") else "cpu"
        for one in _asked(extra, name.split("-")[0].split()[0]):
            assert one.specifier.contains(releases[one.name]), (name, one.name)
            if name == "3.9 lowest":
                (bound,) = (x.version for x in one.specifier if x.operator in (">=", "=="))
                assert Version(bound) == Version(releases[one.name]), one.name


def _releases(file: Path) -> dict[str, str]:
    lines = [x.lower() for x in file.read_text().splitlines() if x and not x.startswith("#")]
    return dict(line.replace("_", "-").split("==") for line in lines)


def _asked(extra: str, python: str) -> list:
    """What the package, an extra and the tests ask for on a Python."""
    place = {"python_version": python, "python_full_version": f"{python}.0"}
    asked = map(Requirement, metadata.requires("vie_tf"))
    return [
        one
        for one in asked
        if not one.marker
        or any(one.marker.evaluate({**place, "extra": x}) for x in ("", extra, "test"))
    ]


def test_no_private_name_of_tensorflow_or_keras():
    private = re.compile(
        r"tensorflow\.python|keras\.src|tf\.__internal__|[^_]keras\._[a-z]|tf\._[a-z]"
    )
    for folder in ("vie_tf", "data_prep"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not private.search(path.read_text()), path


# Keras has no public ones for an optimizer of one's own; without the last, callbacks are slower.
INHERITED = {
    *("_build_learning_rate", "_learning_rate", "_built", "_index_dict", "_var_key"),
    *("_serialize_hyperparameter", "_supports_tf_logs"),
}


def test_keras_has_the_private_names_that_classes_of_ours_inherit():
    optimizer = keras.optimizers.SGD()
    optimizer.build([tf.Variable(1.0)])
    theirs = {*dir(optimizer), *dir(keras.callbacks.Callback()), *dir(keras.Model())}
    theirs |= {*dir(keras.layers.Conv3D(1, 1)), *dir(keras.metrics.Mean())}
    theirs |= {*dir(keras.optimizers.schedules.LearningRateSchedule)}
    assert theirs >= INHERITED
    for path in (ROOT / "vie_tf").rglob("*.py"):
        tree = ast.parse(path.read_text())
        classes = [x for x in ast.walk(tree) if isinstance(x, ast.ClassDef)]
        bases = "".join(ast.unparse(base) for x in classes for base in x.bases)
        if "keras." not in bases:  # `self` is no object of Keras
            classes = []
        inside = {x for one in classes for x in ast.walk(one)}
        names = [x.name for x in inside if isinstance(x, ast.FunctionDef)]
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                if node in inside or ast.unparse(node.value) != "self":
                    names.append(node.attr)
        used = {x for x in names if x.startswith("_") and not x.startswith("__")}
        assert used & theirs <= INHERITED, path


def test_keras_is_imported_in_one_place():
    own = re.compile(
        r"^ *(from tensorflow(\.keras| import .*keras)|(import|from) (tf_)?keras)|[^`]\btf[.]keras",
        re.M,
    )
    folders = ("vie_tf", "data_prep", "benchmarks", "tests")
    files = [x for folder in folders for x in sorted((ROOT / folder).rglob("*.py"))]
    found = [x.name for x in files if own.search(x.read_text())]
    assert found == ["keras2.py", "keras3_twins.py"]  # the latter measures Keras 3


@pytest.mark.parametrize("ours", ["vie_tf.models", "data_prep", "words", "test_stacks"])
def test_what_python_calls_deprecated_fails_in_our_modules(ours):
    code = compile("import warnings; warnings.warn('old', DeprecationWarning)", "module", "exec")
    with pytest.raises(DeprecationWarning):
        exec(code, {"__name__": ours})


def test_what_tensorflow_calls_deprecated_fails_where_we_call_it():
    with pytest.raises(DeprecationWarning, match="test_stacks.py"):
        tf.compat.v1.to_float(1)
