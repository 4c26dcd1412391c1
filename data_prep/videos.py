"""Prepares videos for training: `python -m data_prep.videos --source=DIR_OR_CSV --out=PREPARED`.

Every video becomes JPEG frames of one frame rate and one short side, in the container that
`vie_tf.data.prepared` describes. Stop it at any time; the same command resumes after the last
complete video. The same input gives the same bytes, whatever the number of workers and however
often it was stopped.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.pool import ThreadPool
from typing import Any

from absl import flags

from data_prep import pool
from data_prep.again import count_lost, open_earlier
from data_prep.finish import NothingUsable, finish
from data_prep.journal import Journal, refuse_other_request
from data_prep.standardise import Standardised, Task, short_side_for, standardise
from vie_tf.commands import command
from vie_tf.data import decoding, files, prepared
from vie_tf.data.source import SourceVideo, list_source
from vie_tf.errors import InputError
from vie_tf.progress import track

PATIENCE = 60.0
FULL = (errno.ENOSPC, errno.EDQUOT)
UNFIT = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
    *(errno.EEXIST, errno.ENAMETOOLONG),
)

FLAGS = flags.FLAGS
flags.DEFINE_string("source", None, "Folder of videos, or a CSV with a column path; may be remote.")
flags.DEFINE_string("out", None, "Folder for the prepared videos.")
flags.DEFINE_string(
    "again", "", "Finished set: retries what it lost to storage or a crash, and copies the rest."
)
flags.DEFINE_float("fps", 25.0, "Frames per second.", lower_bound=0.01, upper_bound=1000)
flags.DEFINE_integer("short_side", 320, "Pixels of the shorter side.", lower_bound=8)
flags.DEFINE_integer(
    "for_image_size",
    None,
    "Side of the training clips: chooses the --short_side that suits it, such as 160 for 112.",
    lower_bound=8,
)
flags.DEFINE_integer(
    "jpeg_quality", 90, "Quality of the JPEG frames.", lower_bound=1, upper_bound=100
)
flags.DEFINE_integer("workers", None, "Processes. Default: one for each core.", lower_bound=1)
flags.DEFINE_enum("decoder", "auto", ["auto", "tfio", "pyav"], "Decoder of the videos.")


def _request(source: list[SourceVideo], decoder: str) -> dict[str, Any]:
    """Returns what determines the bytes of a prepared set, apart from the files' content."""
    digest = hashlib.sha256()
    with ThreadPool(32) as threads:  # on a remote file system each one is a request
        sizes = threads.map(_size, [video.path for video in source], chunksize=32)
    for video, size in zip(source, sizes):
        row = (video.id, video.label, video.split, sorted(video.extra.items()), size)
        digest.update(repr(row).encode("utf-8", "surrogateescape"))
    return {
        "fps": FLAGS.fps,
        "short_side": FLAGS.short_side,
        "jpeg_quality": FLAGS.jpeg_quality,
        "decoder": decoder,
        "source": f"{len(source)} files, {digest.hexdigest()[:16]}",
    }


def _size(path: str) -> int:
    """Returns the bytes of a file, -1 if there is none or access is denied."""
    try:
        size = files.size(path)
    except OSError as error:
        if not files.is_remote(path) or error.errno == errno.EACCES:
            return -1
        raise InputError(
            f"{path}: {error.strerror}; run the same command again, or take it out of --source"
        ) from error
    return -1 if size is None else size


def prepare(way: Callable[[list[SourceVideo], dict[str, Any]], Iterator[dict]]) -> str:
    """Prepares the videos as the flags say; returns the last line to print.

    Args:
        way: writes the shards of the source's videos for a request, resuming where it was stopped;
            returns the entries that `finish` needs for each video.

    Raises:
        InputError: bad flags or source, no usable video, another request in --out, or a full disk.
    """
    out, began = FLAGS.out, time.monotonic()
    source = list_source(FLAGS.source, leave_out=out)
    request = _request(source, decoding.choose_decoder(FLAGS.decoder))
    try:
        if prepared.is_prepared(out):
            refuse_other_request(out, prepared.read_description(out)["request"], request)
            lost = count_lost(out)
            more = f" ({lost} lost to storage or a crash: --again={out} with another --out)"
            return f"{out} is finished already; nothing to do{more if lost else ''}"
        if FLAGS.again:
            done = prepared.read_description(FLAGS.again)["request"]
            refuse_other_request(FLAGS.again, done, request)
            if not count_lost(FLAGS.again):
                return f"{FLAGS.again} lost nothing to storage or a crash; nothing to do"
        try:
            description = finish(out, source, way(source, request), request)
        except NothingUsable as error:
            _clear(out, prepared.shard_name(0))
            raise InputError(f"{FLAGS.source}: {error}") from error
        _clear(out)
    except OSError as error:
        again = "run the same command again to go on"
        if error.errno in FULL:
            again = f"make room, then {again}"
        elif error.errno in UNFIT:
            again = "give another --out"
        raise InputError(f"{out}: cannot be written: {error.strerror}; {again}") from error
    return (
        f"{description['videos']} videos prepared, {description['skipped']} skipped "
        f"(see {os.path.join(out, 'manifest.csv')}), {time.monotonic() - began:.0f} s"
    )


def _clear(out: str, *names: str) -> None:
    """Removes what only an unfinished set has; the journal last, since it marks one."""
    for name in (*names, "spool", "journal.jsonl"):
        files.remove(os.path.join(out, name))


def task(video: SourceVideo, spool: str, decoder: str) -> Task:
    """Returns a video's task, from the flags."""
    return Task(video.path, spool, FLAGS.fps, FLAGS.short_side, FLAGS.jpeg_quality, decoder)


def _write_videos(source: list[SourceVideo], request: dict[str, Any]) -> Iterator[dict]:
    """Prepares videos on one machine: several processes, one writer."""
    journal = Journal(FLAGS.out, {"by": "data_prep.videos", **request})
    spool, done, earlier = os.path.join(FLAGS.out, "spool"), journal.done, open_earlier(FLAGS.again)
    tasks = {
        row: task(source[row], os.path.join(spool, str(row)), request["decoder"])
        for row in range(done, len(source))
    }
    anew = [tasks[row] for row in tasks if not earlier or earlier.lost(row)]
    if done and tasks:
        print(f"going on after {done} of {len(source)} videos", file=sys.stderr)
    with pool.Crew(standardise, workers(), PATIENCE) as crew:
        results = crew.in_order(anew)
        for row, one in track(tasks.items(), "videos", len(source), done):
            new = not earlier or earlier.lost(row)
            journal.add(outcome(next(results)) if new else earlier.copy(row, one.spool), one.spool)
    journal.close()
    if crew.retried:
        print(f"tried again: {crew.retried}", file=sys.stderr)
    return journal.entries()


def workers() -> int:
    """Returns the number of processes."""
    return FLAGS.workers or len(os.sched_getaffinity(0))


def outcome(result: Standardised | pool.Lost | Exception) -> Standardised:
    """Returns a video's result, also for a lost one. Raises errors not due to the video."""
    if isinstance(result, Exception):
        raise result
    return Standardised(reason=result.reason) if isinstance(result, pool.Lost) else result


def check_flags() -> None:
    """Raises InputError if flags are missing or do not fit together."""
    if not FLAGS.source or not FLAGS.out:
        raise InputError("needs --source=DIR_OR_CSV and --out=PREPARED")
    if os.path.realpath(FLAGS.source) == os.path.realpath(FLAGS.out):
        raise InputError(f"--out={FLAGS.out} is the source itself; give another folder")
    if FLAGS.again and os.path.realpath(FLAGS.again) == os.path.realpath(FLAGS.out):
        raise InputError(f"--again={FLAGS.again} is --out, too; give a new folder as --out")
    if FLAGS.for_image_size:
        if FLAGS["short_side"].present:
            raise InputError("--for_image_size chooses the --short_side: give one of them")
        FLAGS.short_side = short_side_for(FLAGS.for_image_size)


def main() -> None:
    """Runs the command."""
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT is off in a shell's background
        signal.signal(number, signal.default_int_handler)
    logging.getLogger().setLevel(logging.INFO)
    if files.is_remote(FLAGS.out):
        raise InputError(
            f"--out={FLAGS.out}: give a local folder and copy it there, or use data_prep.beam"
        )
    print(prepare(_write_videos))


def run() -> None:
    """Entry point."""
    command.run("data_prep.videos", main, check_flags)


if __name__ == "__main__":
    run()
