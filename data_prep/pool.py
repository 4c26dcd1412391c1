"""Worker processes that may crash, hang or fail to read without ending the run."""

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
    """Replaces a result, and says nothing about the task itself.

    Its worker crashed or hung; or `work` returned this because storage failed.
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
        theirs.close()  # so that a dead worker closes the pipe
        self.row: int | None = None
        self.heard = math.inf  # starting may take its time

    def stop(self) -> None:
        if self.process.pid is not None:
            self.process.kill()
            self.process.join()
        self.pipe.close()


@contextmanager
def _signals_later() -> Iterator[None]:
    """Delays Ctrl-C and SIGTERM until after the block; processes started in it ignore Ctrl-C.

    An interrupted start would leave a child that complains of its parent's end. Children inherit
    the mask; the handlers are for the parent, since any thread may receive a signal.
    """
    stops, caught = (signal.SIGINT, signal.SIGTERM), []
    resource_tracker.ensure_running()  # its own start would unblock it again
    # Python allows handlers to be set in its main thread only, and calls them there.
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
    """Runs a worker's loop: receives a task, sends signs of life, then a result."""
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
    """Processes that all do one kind of work; started when first needed; call `stop` at the end.

    Args:
        work: an importable function work(task, alive); it calls `alive()` repeatedly.
        size: number of processes.
        patience: seconds without a sign of life after which a process is killed.

    Attributes:
        retried: how many tasks were repeated, since their first result was `Lost`.
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
        """Kills the processes, whatever they are doing."""
        while self._workers:
            self._workers.pop().stop()

    def in_order(self, tasks: Sequence[Any]) -> Iterator[Any]:
        """Runs `work` for all tasks, which can be pickled, and yields the results in their order.

        Yields:
            The result of each task, or `Lost` if it was lost twice.
        """
        crew = self._workers
        given, results, again = 0, {}, []  # rows so far, their results, rows to repeat
        tried = set()  # rows that were ever repeated

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
                    # A window limits the results that wait on disk for one long video.
                    end = min(len(tasks), row + 8 * self._size)
                    given = self._give(tasks, again, given, end)
                    for done, result in self._results():
                        settle(done, result)
                yield results.pop(row)
        finally:
            for worker in [worker for worker in crew if worker.row is not None]:
                worker.stop()  # its result is no longer wanted
                crew.remove(worker)

    def _give(self, tasks: Sequence[Any], again: list[int], given: int, end: int) -> int:
        """Gives the idle workers the rows of `again`, then those from `given` on; returns the next.

        Args:
            tasks: all tasks.
            again: rows to repeat; those given out are removed.
            given: the first row not given out yet.
            end: the row to stop before.
        """
        for worker in [worker for worker in self._workers if worker.row is None]:
            if again:
                worker.row = again.pop(0)
            elif given < end:
                worker.row, given = given, given + 1
            else:
                break
            with suppress(OSError):  # a dead worker is noticed when waiting for its result
                worker.pipe.send(tasks[worker.row])
            worker.heard = max(worker.heard, time.monotonic())
        return given

    def _results(self) -> Iterator[tuple[int, Any]]:
        """Yields rows and results that arrive within a second; `Lost` for dead or hung workers.

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
