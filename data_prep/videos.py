"""Prepares videos for training: `python -m data_prep.videos --source=DIR_OR_CSV --out=PREPARED`.

Every video becomes JPEG frames of one frame rate and one short side, in the container that
`vie_tf.data.prepared` describes. Stop it at any time; the same command goes on after the last whole
video. The same input gives the same bytes, whatever the number of workers and however often it was
stopped.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np
from absl import app, flags

from data_prep import pool
from data_prep.standardise import Standardised, Task, standardise
from vie_tf.data import decoding, prepared, videos
from vie_tf.errors import InputError

SHARD_BYTES = 1_000_000_000
PATIENCE = 60.0
MANIFEST = (
    'path,index,label,split,status,reason,frames,height,width,source_frames,source_fps,'
    'source_seconds,source_height,source_width,source_bytes'
).split(',')

FLAGS = flags.FLAGS
flags.DEFINE_string('source', None, 'Folder of videos, or a CSV with a column path.')
flags.DEFINE_string('out', None, 'Folder for the prepared videos.')
flags.DEFINE_float('fps', 25.0, 'Frames per second.', lower_bound=0.01, upper_bound=1000)
flags.DEFINE_integer('short_side', 320, 'Pixels of the shorter side.', lower_bound=8)
flags.DEFINE_integer(
    'jpeg_quality', 90, 'Quality of the JPEG frames.', lower_bound=1, upper_bound=100
)
flags.DEFINE_integer('workers', None, 'Processes; default: one for each core.', lower_bound=1)
flags.DEFINE_enum('decoder', 'auto', ['auto', 'tfio', 'pyav'], 'What decodes the videos.')


def _request(source: list[videos.SourceVideo], decoder: str) -> dict[str, Any]:
    """What decides the bytes of a prepared set, apart from what is inside the files."""
    digest = hashlib.sha256()
    for video in source:
        size = os.path.getsize(video.path) if os.path.isfile(video.path) else -1
        row = (video.id, video.label, video.split, sorted(video.extra.items()), size)
        digest.update(repr(row).encode('utf-8', 'surrogateescape'))
    return {
        'fps': FLAGS.fps,
        'short_side': FLAGS.short_side,
        'jpeg_quality': FLAGS.jpeg_quality,
        'decoder': decoder,
        'source': f'{len(source)} files, {digest.hexdigest()[:16]}',
    }


def _refuse_other_request(out: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    for name, value in new.items():
        if old.get(name) != value:
            what = 'other source files' if name == 'source' else f'--{name}={old.get(name)}'
            now = '' if name == 'source' else f', not {value}'
            raise InputError(
                f'{out}: was made with {what}{now}; repeat that request or choose another --out'
            )


class Journal:
    """Shards and journal of an unfinished set: what is written in whole, and goes on from there."""

    def __init__(self, out: str, request: dict[str, Any]) -> None:
        self.out, self.path = out, os.path.join(out, 'journal.jsonl')
        if not os.path.exists(self.path) and os.path.isdir(out) and os.listdir(out):
            raise InputError(f'{out}: holds other files; choose an empty or new folder as --out')
        os.makedirs(out, exist_ok=True)
        self._file = open(self.path, 'a+b')  # noqa: SIM115, held open for its lock
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f'{out}: another data_prep.videos is at work there; wait') from error
        self._start(request)

    def entries(self) -> Iterator[dict[str, Any]]:
        """The whole lines about videos."""
        with open(self.path, 'rb') as file:
            next(file)
            for line in file:
                yield json.loads(line)

    def _start(self, request: dict[str, Any]) -> None:
        """Reads what is there; cuts off what is not whole."""
        self.done, self.kept, self.shard, self.end, keep = 0, 0, 0, 0, 0
        with open(self.path, 'rb') as file:
            for number, line in enumerate(file):
                try:
                    entry = json.loads(line) if line.endswith(b'\n') else None
                except ValueError:
                    entry = None
                if entry is None:
                    break
                if number == 0:
                    _refuse_other_request(self.out, entry, request)
                elif not self._holds(entry):
                    break
                else:
                    self.done += 1
                    if entry['status'] == 'kept':
                        self.kept += 1
                        self.shard, self.end = entry['shard'], entry['start'] + entry['records']
                keep += len(line)
        self._file.truncate(keep)
        if keep == 0:
            self._write(request)
        shutil.rmtree(os.path.join(self.out, 'spool'), ignore_errors=True)
        os.mkdir(os.path.join(self.out, 'spool'))
        for number in range(self.shard + 1, self.shard + 100):
            if os.path.exists(self._shard_path(number)):
                os.remove(self._shard_path(number))
        self._open_shard().truncate(self.end)

    def _holds(self, entry: dict[str, Any]) -> bool:
        """Whether the shard really has what the journal says (a crash may lose the last bytes)."""
        if entry['status'] != 'kept':
            return True
        path = self._shard_path(entry['shard'])
        end = entry['start'] + entry['records']
        return os.path.isfile(path) and os.path.getsize(path) >= end

    def _shard_path(self, number: int) -> str:
        return os.path.join(self.out, prepared.shard_name(number))

    def _open_shard(self) -> BinaryIO:
        self._shard_file = open(self._shard_path(self.shard), 'ab')  # noqa: SIM115
        return self._shard_file

    def _write(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry).encode() + b'\n')
        self._file.flush()

    def add(self, result: Standardised, spool: str) -> None:
        """Appends one video: its records first, then the line that makes them count."""
        entry = asdict(result)
        if result.status == 'kept':
            if self.end >= SHARD_BYTES:
                os.fsync(self._shard_file.fileno())
                self._shard_file.close()
                self.shard, self.end = self.shard + 1, 0
                self._open_shard()
            with open(spool, 'rb') as file:
                shutil.copyfileobj(file, self._shard_file, 1 << 20)
            self._shard_file.flush()
            entry.update(shard=self.shard, start=self.end)
            self.end += result.records
            self.kept += 1
        self._write(entry)
        self.done += 1
        if os.path.exists(spool):
            os.remove(spool)

    def finish(self, source: list[videos.SourceVideo], request: dict[str, Any]) -> None:
        """Writes index, manifest and, last and at once, the description; removes the journal."""
        os.fsync(self._shard_file.fileno())
        self._shard_file.close()
        _write_index(self, os.path.join(self.out, 'index.npz'))
        frames = _write_manifest(self, source, os.path.join(self.out, 'manifest.csv'))
        names = [prepared.shard_name(number) for number in range(self.shard + 1)]
        names += ['index.npz', 'manifest.csv']
        description = {
            'format': prepared.FORMAT,
            'version': prepared.VERSION,
            'request': request,
            'videos': self.kept,
            'skipped': self.done - self.kept,
            'frames': frames,
            'files': {name: os.path.getsize(os.path.join(self.out, name)) for name in names},
        }
        path = os.path.join(self.out, 'dataset.json')
        with open(path + '.part', 'w', encoding='utf-8') as file:
            json.dump(description, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(path + '.part', path)
        shutil.rmtree(os.path.join(self.out, 'spool'))
        os.remove(self.path)


def _write_index(journal: Journal, path: str) -> None:
    shard, start, counts, sizes, offsets = [], [], [0], [], []
    for entry in journal.entries():
        if entry['status'] == 'kept':
            shard.append(entry['shard'])
            start.append(entry['start'])
            counts.append(len(entry['offsets']))
            sizes.append((entry['height'], entry['width']))
            offsets.append(np.array(entry['offsets'], np.int32))
    np.savez(
        path,
        shard=np.array(shard, np.int32),
        start=np.array(start, np.int64),
        first=np.cumsum(counts, dtype=np.int64),
        offset=np.concatenate(offsets),
        size=np.array(sizes, np.int32),
    )


def _write_manifest(journal: Journal, source: list[videos.SourceVideo], path: str) -> int:
    """One row for each input video; returns the number of frames of all."""
    index, frames = 0, 0
    extra = list(source[0].extra)
    named = {name: f'csv_{name}' if name in MANIFEST else name for name in extra}
    with open(path, 'w', encoding='utf-8', errors='surrogateescape', newline='') as file:
        table = csv.DictWriter(file, MANIFEST + [named[name] for name in extra], restval='')
        table.writeheader()
        for video, entry in zip(source, journal.entries()):
            row = {named[name]: value for name, value in video.extra.items()}
            row.update(path=video.id, label=video.label, split=video.split)
            row.update(status=entry['status'], reason=entry['reason'])
            row.update((f'source_{name}', value) for name, value in entry['source'].items())
            if entry['status'] == 'kept':
                row.update(index=index, frames=len(entry['offsets']))
                row.update(height=entry['height'], width=entry['width'])
                index, frames = index + 1, frames + len(entry['offsets'])
            table.writerow(row)
    return frames


class Progress:
    """A line that says how far we are: rewritten on a terminal, one in ten seconds elsewhere."""

    def __init__(self, done: int, total: int) -> None:
        self._first, self._total, self._began = done, total, time.monotonic()
        self._last, self._terminal = self._began, sys.stderr.isatty()

    def show(self, done: int) -> None:
        """Shows that `done` videos are through."""
        now = time.monotonic()
        if now - self._last < (0.2 if self._terminal else 10) and done < self._total:
            return
        self._last = now
        rate = (done - self._first) / max(now - self._began, 1e-3)
        left = int((self._total - done) / rate) if rate else 0
        line = f'{done}/{self._total} videos, {rate:.1f}/s, {left // 60}:{left % 60:02d} left'
        if self._terminal:
            bar = '#' * (30 * done // self._total)
            line = f'\r[{bar:30}] {line}\x1b[K' + ('\n' if done == self._total else '')
        print(line, end='' if self._terminal else '\n', file=sys.stderr, flush=True)


def prepare() -> str:
    """Does what the flags say; returns the last line to print.

    Raises:
        InputError: bad flags or source, nothing usable, another request in --out, disk full.
    """
    out, began = FLAGS.out, time.monotonic()
    source = videos.list_source(FLAGS.source, leave_out=out)
    try:
        decoder = decoding.choose_decoder(FLAGS.decoder)
    except decoding.DecodingError as error:
        raise InputError(str(error)) from error
    request = _request(source, decoder)
    if prepared.is_prepared(out):
        _refuse_other_request(out, prepared.read_description(out)['request'], request)
        return f'{out} is finished already; nothing to do'
    try:
        journal = Journal(out, request)
        _write_videos(journal, source, decoder)
        if not journal.kept:
            reasons = [f'{v.id}: {e["reason"]}' for v, e in zip(source, journal.entries())]
            shutil.rmtree(os.path.join(out, 'spool'))
            for name in (prepared.shard_name(0), 'journal.jsonl'):
                os.remove(os.path.join(out, name))
            more = '; …' if len(reasons) > 3 else ''
            raise InputError(
                f'{FLAGS.source}: none of {len(source)} files is usable '
                f'({"; ".join(reasons[:3])}{more}); give videos that FFmpeg can decode'
            )
        journal.finish(source, request)
    except OSError as error:
        again = 'run the same command again to go on'
        if error.errno == errno.ENOSPC:
            again = f'make room, then {again}'
        raise InputError(f'{out}: cannot be written: {error.strerror}; {again}') from error
    return (
        f'{journal.kept} videos prepared, {journal.done - journal.kept} skipped '
        f'(see {os.path.join(out, "manifest.csv")}), {time.monotonic() - began:.0f} s'
    )


def _write_videos(journal: Journal, source: list[videos.SourceVideo], decoder: str) -> None:
    tasks = [
        Task(
            video.path,
            os.path.join(FLAGS.out, 'spool', str(row)),
            FLAGS.fps,
            FLAGS.short_side,
            FLAGS.jpeg_quality,
            decoder,
        )
        for row, video in enumerate(source)
    ][journal.done :]
    if not tasks:
        return
    if journal.done:
        print(f'going on after {journal.done} of {len(source)} videos', file=sys.stderr)
    progress = Progress(journal.done, len(source))
    workers = FLAGS.workers or len(os.sched_getaffinity(0))
    for task, result in zip(tasks, pool.in_order(standardise, tasks, workers, PATIENCE)):
        if isinstance(result, str):
            raise OSError(errno.ENOSPC, result)
        if isinstance(result, pool.Lost):
            result = Standardised(reason=result.reason)
        journal.add(result, task.spool)
        progress.show(journal.done)


def main(argv: list[str]) -> None:
    """The command."""
    if len(argv) > 1:
        raise app.UsageError(f'unknown argument {argv[1]!r}')
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    logging.getLogger().setLevel(logging.INFO)
    try:
        print(prepare())
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print('\nstopped; run the same command again to go on', file=sys.stderr)
        sys.exit(130)


def run() -> None:
    """Entry point."""
    flags.mark_flags_as_required(['source', 'out'])
    app.run(main)


if __name__ == '__main__':
    run()
