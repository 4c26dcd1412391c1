"""Start and end of every command of the project: flags, one-line errors, exit status."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import logging as standard_logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial

from absl import app, flags, logging

from vie_tf.commands.flagfiles import expanded
from vie_tf.errors import InputError

# Errors about a path or a disk; any other OSError is a defect, and keeps its traceback.
_STORAGE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EIO),
)


def parse(name: str, check: Callable[[], None], argv: list[str]) -> list[str]:
    """Parses the flags of a command line; prints one line and exits with status 1 if wrong."""
    try:
        try:
            rest = flags.FLAGS(expanded(argv))
        except SystemExit:  # after --help, which absl treats as a failure
            sys.exit(0)
        except flags.UnrecognizedFlagError as error:
            raise InputError(f"{error}; --help lists the flags") from error
        except ValueError as error:
            raise InputError(str(error)) from error
        if len(rest) > 1:
            raise InputError(f"unexpected argument {rest[1]}; flags look like --name=value")
        check()
    except (flags.Error, InputError) as error:
        _fail(name, str(error))
    return rest


def run(name: str, main: Callable[[], None], check: Callable[[], None] = lambda: None) -> None:
    """Parses the flags and runs a command.

    Bad input (InputError, wrong flags, an unusable path, a full disk) gives one line on standard
    error and exit status 1; Ctrl-C gives one line and 130.

    Args:
        name: of the command, printed before the line.
        main: the command; it reads absl's FLAGS.
        check: raises InputError if flags do not fit together.
    """
    prepare_environment()
    handler = logging.get_absl_handler()
    handler.setFormatter(standard_logging.Formatter("%(message)s"))
    # TensorFlow 2.21 tells how long each checkpoint took, in the middle of the progress line.
    handler.addFilter(lambda x: x.name != "absl" or x.levelno > standard_logging.INFO)
    try:
        app.run(lambda _: main(), flags_parser=partial(parse, name, check))
    except InputError as error:
        _fail(name, str(error))
    except OSError as error:
        if error.errno not in _STORAGE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        _fail(name, f"{where}{error.strerror}; fix that, then run the same command again")
    except KeyboardInterrupt:
        _fail(name, "stopped; run the same command again", 130)


def prepare_environment() -> None:
    """Sets the environment variables that TensorFlow reads when it is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if importlib.util.find_spec("tf_keras"):
        # TensorFlow then does not import Keras 3, which takes a second.
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    prepare_gpus()


def prepare_gpus() -> None:
    """Sets the environment variables that CUDA and TensorFlow's compiler read when they start."""
    # Room for kernels compiled for a GPU newer than TensorFlow; CUDA's default is 1 GB.
    os.environ.setdefault("CUDA_CACHE_MAXSIZE", str(4 << 30))
    # Channels last, also in convolutions over time: else their maps are transposed each time.
    wanted = {"xla_gpu_force_conv_nhwc": "true"}
    with contextlib.suppress(ImportError):
        # The compiler looks for CUDA's files in the system, not where pip installs them.
        if nvcc := importlib.util.find_spec("nvidia.cuda_nvcc"):
            wanted["xla_gpu_cuda_data_dir"] = list(nvcc.submodule_search_locations)[0]
    given = os.environ.get("XLA_FLAGS", "")
    more = [f"--{name}={value}" for name, value in wanted.items() if name not in given]
    os.environ["XLA_FLAGS"] = " ".join([given, *more]).strip()


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Drops what is written to standard error meanwhile; C++ code writes there at any log level.

    If an error is raised meanwhile, what was dropped is shown after all.
    """
    if sys.stderr is None:  # closed by whoever started the command
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        place = tempfile.TemporaryFile()
    except OSError:  # no folder can be written to
        place = open(os.devnull, "w+b")
    with place as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        except Exception:
            sys.stderr.flush()
            said.seek(0)
            os.write(kept, said.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def import_tensorflow() -> None:
    """Imports TensorFlow, of which later releases describe the machine before any log level."""
    with silence():
        import tensorflow  # noqa: F401


def start_compiler() -> None:
    """Uses TensorFlow's compiler once, to suppress its line about the machine.

    It would appear in the middle of training, at the first batch whose colour noise is compiled.
    """
    import tensorflow as tf

    with silence():
        tf.function(lambda: tf.ones(1) + 1.0, jit_compile=True)()


def _fail(name: str, message: str, status: int = 1) -> None:
    print(f"{name}:", " ".join(message.split()), file=sys.stderr)
    sys.exit(status)
