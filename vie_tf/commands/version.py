"""--version: releases of the package, of TensorFlow, and of what they compute and decode with."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, distributions, version

from vie_tf.commands import command


def text() -> str:
    """Returns a line for each."""
    command.prepare_environment()
    command.import_tensorflow()
    import tensorflow as tf

    build = tf.sysconfig.get_build_info()
    made_for = "processors"
    if "cuda_version" in build:
        made_for = f"CUDA {build['cuda_version']} and cuDNN {build['cudnn_version']}"
    keras = _release("tf-keras") or _release("keras")
    lines = [
        f"{_release('vie_tf') or 'vie_tf, not installed'}, Python {platform.python_version()}",
        f"TensorFlow {tf.__version__}, built for {made_for}; {keras}",
    ]
    others = [_release(name) for name in ("numpy", "av", "tensorflow-io", "tensorflow-addons")]
    lines.append(", ".join(filter(None, others)))
    names = {x.metadata["Name"] or "" for x in distributions()}
    nvidia = sorted(name for name in names if name.startswith("nvidia-"))
    lines.append("GPU libraries: " + (", ".join(map(_release, nvidia)) or "none from pip"))
    return "\n".join(lines) + "\n"


def _release(name: str) -> str:
    """Returns a package's name and release; '' if it is not installed."""
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return ""
