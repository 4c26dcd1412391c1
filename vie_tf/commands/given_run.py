"""Loads the run and the videos that the flags of an evaluation ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vie_tf.commands.flags import FLAGS, OF_MODE, names, settings
from vie_tf.data import stills
from vie_tf.data.sampling import Sampling
from vie_tf.data.videos import VideoSet, open_videos
from vie_tf.errors import InputError
from vie_tf.runs import workdir
from vie_tf.runs.trained import Run, load_run
from vie_tf.settings import text

# Flags that are an evaluation's own.
_FREE = {*workdir.FREE, *OF_MODE, "label_column", "split_column", "second_workdir", "frames_of"}
_FREE |= {"workdir", "out"}


def load(own: Sequence[str] = (), any_size: bool = False) -> Run:
    """Loads the run's network, combined as --second_workdir or --frames_of say.

    Args:
        own: flags of the mode that may differ from the run's.
        any_size: as in `load_run`.

    Raises:
        InputError: there is no run, a flag differs from the run's, or as for `load_run`.
    """
    folder, run = Path(FLAGS.workdir), workdir.read_flags(Path(FLAGS.workdir))
    for name in sorted({*names()} - _FREE - {*own}):
        if name == "frame_interval" and FLAGS.frames_of:  # of those frames, not of the run's
            continue
        said = text(FLAGS[name].value)
        if FLAGS[name].present and said not in ("auto", run.get(name, "")):
            raise InputError(
                f"--{name}={said}, but {folder} was trained with --{name}={run.get(name, '')}: "
                "leave the flag out"
            )
    return load_run(
        folder,
        settings().evaluation,
        second_workdir=Path(FLAGS.second_workdir) if FLAGS.second_workdir else None,
        frames_of=FLAGS.frames_of,
        frame_interval=FLAGS.frame_interval,
        any_size=any_size,
    )


def opened(sampling: Sampling) -> VideoSet:
    """Opens the videos of --data to embed."""
    videos = open_videos(FLAGS.data, FLAGS.decoder, FLAGS.label_column, FLAGS.split_column)
    stills.tell((videos,), sampling, f"--mode={FLAGS.mode}: {FLAGS.data}")
    return videos
