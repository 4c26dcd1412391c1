"""What the command sets before TensorFlow is imported; and what TensorFlow must not say of us."""

import logging
import os
import sys
import traceback
import warnings
from pathlib import Path

from vie_tf.commands import command

_ROOT = Path(__file__).resolve().parents[1]
_OURS = tuple(str(_ROOT / name) for name in ("vie_tf", "data_prep", "benchmarks", "tests"))
_BETWEEN = (logging.__file__, __file__)  # the call and this file; and TensorFlow itself

command.prepare_environment()
# Of what is deprecated as we import it; tests have the same filters, by conftest.py.
for kind in (DeprecationWarning, FutureWarning):
    warnings.filterwarnings("error", category=kind, module=r"(vie_tf|data_prep)(\.|$)")


class Refuse(logging.Handler):
    """Fails the test in which we call what TensorFlow says is deprecated."""

    def emit(self, record: logging.LogRecord) -> None:
        if "is deprecated" not in record.getMessage():
            return
        files = (frame.filename for frame in reversed(traceback.extract_stack()))
        theirs = os.path.dirname(sys.modules["tensorflow"].__file__) + os.sep
        caller = next(x for x in files if x not in _BETWEEN and not x.startswith(theirs))
        if caller.startswith(_OURS):
            raise DeprecationWarning(f"{caller}: {record.getMessage()}")
