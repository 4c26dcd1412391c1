"""Worker processes that may crash, hang or fail to read without taking the run with them."""

from __future__ import annotations

import math
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

_BEAT_SECONDS = 0.5
TWICE = "; tried twice"  # ends the reason of a `Lost` that is final


@dataclass(frozen=True)
class Lost:
    """Takes the place of a result, and says nothing of the task itself.

    Its worker crashed or stood still; or `work` returned this, since storage failed.
    """

    reason: str


class _Worker:
    def __init__(self, context: Any, work: Callable) -> None:
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(work, theirs), daemon=True)
        try:
            with _signals_later():
                self.process.start()
        except KeyboardInterrupt:
            self.stop()
            raise
        theirs.close()  # so that a dead worker reads as the end of the pipe
        self.row: int | None = None
        self.heard = math.inf  # starting may take its time

    def stop(self) -> None:
        if self.process.pid is not None:
            self.process.kill()
            self.process.join()
        self.pipe.close()


@contextmanager
def _signals_later() -> Iterator[None]:
    """Answers Ctrl-C and SIGTERM after the block; processes started in it never hear Ctrl-C.

    Half a start would leave a child that complains of its parent's end. The mask is what children
    inherit; the handlers are for us, since any thread may take a signal.
    """
    stops, caught = (signal.SIGINT, signal.SIGTERM), []
    resource_tracker.ensure_running()  # its own start would let it in again
    # Python takes handlers from its main thread only, and calls them there.
    main = threading.current_thread() is threading.main_thread()
    handlers = [signal.signal(s, lambda number, _: caught.append(number)) for s in stops if main]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for stop, handler in zip(stops, handlers):
            signal.signal(stop, handler)
    if caught:
        raise KeyboardInterrupt


def _serve(work: Callable, pipe: Connection) -> None:
    """A worker's loop: a task in, beats while it lives, a result out."""
    last = 0.0

    def alive() -> None:
        nonlocal last
        if time.monotonic() - last > _BEAT_SECONDS:
            last = time.monotonic()
            pipe.send(None)

    try:
        pipe.send(None)
        while True:
            pipe.send((work(pipe.recv(), alive),))
    except (EOFError, OSError):
        pass  # the parent is gone


class Crew:
    """Processes that all do one kind of work; started when first needed, to be stopped at the end.

    Args:
        work: an importable function work(task, alive); it calls `alive()` as it goes on.
        size: number of processes.
        patience: seconds without a sign of life after which a process is killed.

    Attributes:
        retried: how many tasks were done once more, since their first result was `Lost`.
    """

    def __init__(self, work: Callable, size: int, patience: float) -> None:
        self._work, self._size, self._patience = work, size, patience
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self.retried = 0

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the processes, whatever they do."""
        while self._workers:
            self._workers.pop().stop()

    def in_order(self, tasks: Sequence[Any]) -> Iterator[Any]:
        """Runs `work` for all tasks, which can be pickled, and yields the results in their order.

        Yields:
            The result of each task, or `Lost` where it was lost twice.
        """
        crew = self._workers
        given, results, again = 0, {}, []  # rows so far, their results, rows to be done once more
        tried = set()  # rows that ever were

        def settle(row: int, result: Any) -> None:
            if not isinstance(result, Lost):
                results[row] = result
            elif row in tried:
                results[row] = Lost(result.reason + TWICE)
            else:
                again.append(row)
                tried.add(row)
                self.retried += 1

        try:
            while len(crew) < min(self._size, len(tasks)):
                crew.append(_Worker(self._context, self._work))
            for row in range(len(tasks)):
                while row not in results:
                    # A window bounds what waits on disk behind one long video.
                    end = min(len(tasks), row + 8 * self._size)
                    given = self._give(tasks, again, given, end)
                    for done, result in self._results():
                        settle(done, result)
                yield results.pop(row)
        finally:
            for worker in [worker for worker in crew if worker.row is not None]:
                worker.stop()  # what it does is not wanted any more
                crew.remove(worker)

    def _give(self, tasks: Sequence[Any], again: list[int], given: int, end: int) -> int:
        """Gives the idle workers the rows of `again`, then those from `given` on; returns the next.

        Args:
            tasks: all.
            again: rows, of which those that are given are taken out.
            given: the first row that none was given yet.
            end: the row to stop before.
        """
        for worker in [worker for worker in self._workers if worker.row is None]:
            if again:
                worker.row = again.pop(0)
            elif given < end:
                worker.row, given = given, given + 1
            else:
                break
            with suppress(OSError):  # a dead one is noticed when its result is waited for
                worker.pipe.send(tasks[worker.row])
            worker.heard = max(worker.heard, time.monotonic())
        return given

    def _results(self) -> Iterator[tuple[int, Any]]:
        """What comes within a second: rows and results, `Lost` of workers that died or stand still.

        A lost worker is replaced.
        """
        ready = wait([w.pipe for w in self._workers if w.row is not None], timeout=1.0)
        for place, worker in enumerate(self._workers):
            if worker.row is None:
                continue
            lost = None
            if worker.pipe in ready:
                try:
                    message = worker.pipe.recv()
                    worker.heard = time.monotonic()
                    if message is not None:
                        row, worker.row = worker.row, None
                        yield row, message[0]
                except (EOFError, OSError):
                    worker.process.join()
                    lost = f"the decoder crashed (exit code {worker.process.exitcode})"
            elif time.monotonic() - worker.heard > self._patience:
                lost = f"the decoder stood still for {self._patience:g} s"
            if lost:
                yield worker.row, Lost(lost)
                worker.stop()
                self._workers[place] = _Worker(self._context, self._work)
