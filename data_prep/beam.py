"""Prepares videos as an Apache Beam pipeline: on this machine, or on a cluster.

    python -m data_prep.beam --source=DIR_OR_CSV --out=PREPARED [flags of data_prep.videos]
        [-- Beam's options, such as --runner=FlinkRunner]

Makes the same bytes as `data_prep.videos`, from the same code. Every worker must see the source's
files, and --out, under the same paths; both may be remote. A video is standardised into
--out/spool, next to a small file with its outcome; the sizes, in the source's order, determine the
shards; one worker then joins each shard. Whatever exists already is not made again, so the same
command resumes the work, and Beam may repeat what failed.
"""

from __future__ import annotations

import errno
import itertools
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from absl import flags

from data_prep import pool
from data_prep.again import open_earlier
from data_prep.finish import plan
from data_prep.journal import hold, refuse_other_request
from data_prep.standardise import Task, standardise
from data_prep.videos import PATIENCE, check_flags, outcome, prepare, task, workers
from vie_tf.commands import command
from vie_tf.data import decoding, files, prepared
from vie_tf.data.source import SourceVideo
from vie_tf.errors import InputError

logging.disable(logging.WARNING)  # it warns about what only Google's cloud needs
try:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
except ImportError:
    sys.exit("data_prep.beam: needs Apache Beam; install it: pip install apache-beam")
logging.disable(logging.NOTSET)

LOCAL = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
COUNTERS = ("kept", "skipped", "frames", "bytes", "retried")
ERRORS = "OS|Permission|NotFound|Storage|Decoding|Input"  # what a worker may raise
FLAGS = flags.FLAGS


class Standardise(beam.DoFn):
    """Maps (row, path) to (row, bytes of its records, None if it is skipped).

    Args:
        out: folder of the set.
        task: the form that every video gets.
        again: an earlier set, or ''.
    """

    def __init__(self, out: str, task: Task, again: str) -> None:
        self._spool, self._task, self._again = os.path.join(out, "spool"), task, again

    def setup(self) -> None:
        decoding.choose_decoder(self._task.decoder)  # again here, since machines differ
        self._crew = pool.Crew(standardise, 1, PATIENCE)
        self._earlier = open_earlier(self._again)

    def teardown(self) -> None:
        self._crew.stop()

    def process(self, video: tuple[int, str]) -> Iterator[tuple[int, int | None]]:
        row, path = video
        name, before = os.path.join(self._spool, str(row)), self._crew.retried
        try:
            entry = json.loads(files.read(f"{name}.json"))
        except FileNotFoundError:
            entry = self._make(row, path, name)
        kept = entry["status"] == "kept"
        counts = (1, 0, len(entry["offsets"]), entry["records"]) if kept else (0, 1, 0, 0)
        for counter, more in zip(COUNTERS, (*counts, self._crew.retried - before)):
            beam.metrics.Metrics.counter("data_prep", counter).inc(more)
        yield row, entry["records"] if kept else None

    def _make(self, row: int, path: str, name: str) -> dict[str, Any]:
        """Writes the records, then the file that makes them count."""
        with files.whole(name) as part:
            if self._earlier and not self._earlier.lost(row):
                result = self._earlier.copy(row, part)
            else:
                one = replace(self._task, path=path, spool=part)
                (result,) = self._crew.in_order([one])
                if one.local != path:
                    files.remove(one.local)  # a crash leaves it behind
            entry = asdict(outcome(result))
            if entry["status"] != "kept":
                files.remove(part)
        with files.whole(f"{name}.json") as part, open(part, "w", encoding="utf-8") as file:
            json.dump(entry, file)
        return entry


def _journal(out: str, shard: int) -> str:
    """Returns the path of a shard's part of the journal that `data_prep.videos` would write."""
    return os.path.join(out, "spool", f"shard-{shard:05d}.jsonl")


def join(planned: tuple[int, int, int], out: str) -> None:
    """Writes a shard, then its journal, which makes it count; then removes its spool files."""
    shard, first, end = planned
    journal, spool = _journal(out, shard), os.path.join(out, "spool")
    names = [os.path.join(spool, str(row)) for row in range(first, end)]
    if files.size(journal) is None:
        with (
            files.whole(journal) as lines,
            files.whole(os.path.join(out, prepared.shard_name(shard))) as records,
            open(lines, "wb") as lines,
            open(records, "wb") as records,
        ):
            for name in names:
                entry = json.loads(files.read(f"{name}.json"))
                if entry["status"] == "kept":
                    entry.update(shard=shard, start=records.tell())
                    if files.copy_into(name, records) != entry["records"]:
                        files.remove(f"{name}.json")  # so that it is made again
                        raise OSError(errno.EIO, "is not as long as it was", name)
                lines.write(json.dumps(entry).encode() + b"\n")
    for name in names:
        files.remove(name)


def entries(out: str) -> Iterator[dict[str, Any]]:
    """Yields the entries of all shards' journals."""
    for shard in itertools.count():
        if files.size(_journal(out, shard)) is None:
            return
        yield from map(json.loads, files.read(_journal(out, shard)).splitlines())


def _begin(out: str, request: dict[str, Any]) -> AbstractContextManager:
    """Records what a folder is for; a local one is also locked against other processes."""
    if not files.is_remote(out):
        held = hold(out, request)
        os.makedirs(os.path.join(out, "spool"), exist_ok=True)
        return held
    path = os.path.join(out, "journal.jsonl")
    if files.size(path) is not None:
        refuse_other_request(out, json.loads(files.read(path)), request)
    else:
        with files.whole(path) as part, open(part, "w", encoding="utf-8") as file:
            json.dump(request, file)
    return nullcontext()


def write_videos(
    options: list[str], source: list[SourceVideo], request: dict[str, Any]
) -> Iterator[dict]:
    """Prepares videos with a pipeline; see `data_prep.videos.prepare`."""
    out = FLAGS.out
    if not any(word.startswith("--runner") for word in options):
        # The local runner that needs only Python. Its threads just wait for processes.
        mine = ("--direct_running_mode=multi_threading", f"--direct_num_workers={workers()}")
        options = [f"--runner={LOCAL}", *mine, *options]
    with _begin(out, {"by": "data_prep.beam", **request}):
        pipeline = beam.Pipeline(options=PipelineOptions(options))
        (
            pipeline
            | beam.Create([(row, video.path) for row, video in enumerate(source)])
            | "Spread videos" >> beam.Reshuffle()
            | beam.ParDo(Standardise(out, task(source[0], "", request["decoder"]), FLAGS.again))
            | beam.combiners.ToList()
            | beam.FlatMap(plan)
            | "Spread shards" >> beam.Reshuffle()
            | beam.Map(join, out)
        )
        try:
            result = pipeline.run()
            result.wait_until_finish()
        except Exception as error:  # a worker's error arrives as text
            said = re.findall(rf"({ERRORS})Error: (?:\[Errno (\d+)\] )?(.*)", str(error))
            if not said:
                raise
            kind, number, text = said[-1]
            if kind in ("Decoding", "Input"):
                raise InputError(text) from error
            raise OSError(int(number) if number else None, text) from error
        found = result.metrics().query(beam.metrics.MetricsFilter().with_namespace("data_prep"))
        counts = {each.key.metric.name: each.result for each in found["counters"]}
        said = ", ".join(f"{name} {counts.get(name, 0)}" for name in COUNTERS)
        print(f"counted by Beam: {said}", file=sys.stderr)
        yield from entries(out)


def main(options: list[str]) -> None:
    """Runs the command; `options` are Beam's."""
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT is off in a shell's background
        signal.signal(number, signal.default_int_handler)
    logging.getLogger("vie_tf").setLevel(logging.INFO)
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    print(prepare(partial(write_videos, options)))


def run() -> None:
    """Entry point."""
    cut = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    sys.argv, options = sys.argv[:cut], sys.argv[cut + 1 :]
    command.run("data_prep.beam", partial(main, options), check_flags)


if __name__ == "__main__":
    from data_prep.beam import run  # workers know this module by this name, not as __main__

    run()
