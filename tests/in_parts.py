"""Runs tests in parts, one a file: python tests/in_parts.py [--times=FILE] [what pytest takes].

Each file's tests run in their own process, three at a time, so that what TensorFlow keeps in memory
(above all, what XLA compiled) goes with the process, and a crash loses only that file's tests. The
processes are forks of this one, which has imported TensorFlow and not started it. Results of passed
files stay in build/parts: after an interruption or a failure the same command runs the others, as
long as the repository's files and the environment are the same.
"""

import argparse
import contextlib
import gc
import hashlib
import importlib
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from importlib.metadata import distributions
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
LIST = """\
# The slow tests

`make test-slow` runs them: each file in its own process, three at a time, so that a crash loses
only that file's tests. After an interruption or a failure the same command runs the files that have
not passed. It writes this list: the seconds of each test's last run, the longest first (the first
of several tests includes the set-up that they share); - where it has not run.

"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--jobs", type=int, default=3, help="files at a time")
    parser.add_argument("--times", help="Markdown to write: how long each test took")
    parser.add_argument("--anew", action="store_true", help="also the files that passed before")
    parser.add_argument("--most", type=float, default=3.0, help="GB that a process may hold")
    parser.add_argument("-m", dest="marker", help="tests marked so, such as slow")
    ours, words = parser.parse_known_args()
    start = time.time()
    folder = ROOT / "build" / "parts" / state_of_the_repository(but=ours.times)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [word for word in words if word.startswith("tests/")]
    options = [word for word in words if word not in chosen]
    options += ["-m", ours.marker] if ours.marker else []
    files = (
        [path for path in files_of(chosen) if f"mark.{ours.marker}" in path.read_text()]
        if ours.marker
        else files_of(chosen)
    )
    parts = []
    for name in (str(path.relative_to(ROOT)) for path in files):
        one_by_one = [word for word in chosen if "::" in word and word.split("::")[0] == name]
        parts.append(Part(name, one_by_one or [name], options, folder))
    with tempfile.TemporaryDirectory() as shared:
        os.environ["VIE_TEST_SHARED"] = shared
        stopped = not run_all([x for x in parts if ours.anew or not x.passed()], ours.jobs)
    if stopped:
        sys.exit("stopped" if ours.anew else "stopped; the same command goes on")
    if ours.times:
        write_times(ROOT / ours.times, parts)
    counts = {}
    for part in parts:
        for what, number in part.counts().items():
            counts[what] = counts.get(what, 0) + number
    said = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    if not parts:
        sys.exit("no such tests")
    most = max(part.held() for part in parts)
    print(f"{said} in {len(parts)} files, {time.time() - start:.0f} s, at most {most:.1f} GB each")
    if most > ours.most:
        print(f"a file's tests held more than {ours.most} GB: give them smaller networks")
    sys.exit(most > ours.most or not all(part.passed() for part in parts))


def files_of(chosen):
    """The files of tests, or those that the words name."""
    named = sorted({ROOT / word.split("::")[0] for word in chosen})
    for path in named:
        if not path.is_file():
            sys.exit(f"there is no {path.relative_to(ROOT)}")
    return named or sorted((ROOT / "tests").glob("test_*.py"))


def state_of_the_repository(but):
    """A name of its files and of what runs them; a new one each time where git does not tell."""
    packages = sorted(f"{x.metadata['Name']} {x.version}" for x in distributions())
    told = hashlib.sha256(repr((sys.version, packages)).encode())
    changed = []
    for words in ("rev-parse HEAD", "diff HEAD --name-only", "ls-files -o --exclude-standard"):
        done = subprocess.run(["git", *words.split()], cwd=ROOT, capture_output=True, text=True)
        lines = [line for line in done.stdout.splitlines() if line != but]
        told.update(repr(lines if not done.returncode else time.time()).encode())
        changed += lines if words != "rev-parse HEAD" else []
    for path in (ROOT / name for name in changed):
        told.update(path.read_bytes() if path.is_file() else b"")
    return told.hexdigest()[:12]


# On macOS a process that has loaded such libraries must not be forked.
FORKS = sys.platform == "linux"
STOPS = (signal.SIGINT, signal.SIGTERM)


def run_all(parts, jobs):
    """Runs them, `jobs` at a time, and shows each as it ends; returns False if it was stopped."""

    def stop(*_):
        for number in STOPS:
            signal.signal(number, signal.SIG_IGN)  # it is on its way
        raise KeyboardInterrupt

    os.chdir(ROOT)
    if FORKS and parts:
        import_all()
    # The largest files first: they take longest more often than not.
    waiting, running = sorted(parts, key=lambda part: (ROOT / part.file).stat().st_size), {}
    try:
        for number in STOPS:
            signal.signal(number, stop)
        while waiting or running:
            while waiting and len(running) < jobs:
                part = waiting.pop()
                signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # or its process would be unknown
                running[part.start()] = part
                signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
            process, status, used = os.wait4(-1, 0)
            if part := running.pop(process, None):
                part.ended(os.waitstatus_to_exitcode(status), used.ru_maxrss)
        return True
    except KeyboardInterrupt:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGINT)  # pytest ends what its tests have started
        deadline = time.time() + 20
        for process in running:
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                while not os.waitpid(process, os.WNOHANG)[0]:
                    if time.time() > deadline:
                        os.kill(process, signal.SIGKILL)
                    time.sleep(0.1)
        return False


def import_all():
    """Imports what tests import, so that their processes need not."""
    sys.path.insert(0, str(ROOT))
    import environment  # noqa: F401, before TensorFlow
    import pytest  # noqa: F401

    import vie_tf

    for module in pkgutil.walk_packages(vie_tf.__path__, "vie_tf."):
        importlib.import_module(module.name)  # and with them what they import
    gc.collect()
    gc.freeze()  # so that collections in the forks do not copy it
    # The import starts threads of a library that minds forks (OpenBLAS), and TensorFlow none.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)


class Part:
    """The tests of a file, which one process runs, and the files that it leaves."""

    def __init__(self, file, chosen, options, folder):
        self.file, self.options, self.words = file, options, [*chosen, *options]
        name = hashlib.sha256("\n".join(self.words).encode()).hexdigest()[:12]
        self.said, self.report, self.end, self.names = (
            folder / f"{name}.{x}" for x in ("txt", "xml", "end", "names")
        )
        self.words.append(f"--junit-xml={self.report}")

    def start(self):
        """Starts its process, and returns its number."""
        for file in (self.said, self.report, self.end, self.names):
            file.unlink(missing_ok=True)
        # What its end leaves here goes with the folder of all.
        self.place = Path(os.environ["VIE_TEST_SHARED"]) / f"tmp_{Path(self.file).stem}"
        self.place.mkdir(exist_ok=True)
        new = {"VIE_TEST_IDS": str(self.names), "TMPDIR": str(self.place)}
        sys.stdout.flush()
        if not FORKS:
            with open(self.said, "wb") as said:
                command = [sys.executable, "-m", "pytest", *self.words]
                return subprocess.Popen(
                    command, stdout=said, stderr=said, env={**os.environ, **new}
                ).pid
        if process := os.fork():
            return process
        code = 1
        try:
            with open(self.said, "wb") as said:
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
            os.environ.update(new)
            tempfile.tempdir = None
            import pytest

            code = pytest.main(self.words)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def ended(self, code, most):
        """Notes its exit code and the most memory it held, as the system counts it; and says so."""
        held = most * (1 if sys.platform == "darwin" else 1024)
        part = self.end.with_suffix(".part")
        part.write_text(f"{code} {held / 1e9}")
        part.replace(self.end)
        said = self.said.read_text(errors="replace").rstrip() if self.said.exists() else ""
        if self.passed():
            shutil.rmtree(self.place, ignore_errors=True)
        if self.passed() and not self.options:
            last = said.rsplit("\n", 1)[-1]
            print(f"{Path(self.file).stem}: {last}, {self.held():.1f} GB", flush=True)
        else:
            print(f"{said}\n^ {self.file}: exit {code}, {self.held():.1f} GB", flush=True)

    def passed(self):
        # 5: there is no such test in these files.
        return self.end.exists() and self.end.read_text().split()[0] in ("0", "5")

    def held(self):
        return float(self.end.read_text().split()[1]) if self.end.exists() else 0.0

    def ids(self):
        """The names of its tests, once pytest has found them."""
        return self.names.read_text().splitlines() if self.names.exists() else []

    def cases(self):
        """What pytest tells of each test; nothing where it died."""
        if not self.report.exists():
            return []
        return list(ElementTree.parse(self.report).iter("testcase"))

    def counts(self):
        cases = self.cases()
        counts = {"passed": 0, "failed": 0, "skipped": 0}
        for case in cases:
            bad = case.find("failure") is not None or case.find("error") is not None
            counts["failed"] += bad
            counts["skipped"] += not bad and case.find("skipped") is not None
        counts["passed"] = len(cases) - counts["failed"] - counts["skipped"]
        return counts | {"lost with their process": max(0, len(self.ids()) - len(cases))}

    def seconds(self):
        """By the test's name; None where it did not run."""
        took = dict.fromkeys(self.ids())
        for case in self.cases():
            if case.find("skipped") is None:
                file = case.get("classname").replace(".", "/")
                took[f"{file}.py::{case.get('name')}"] = float(case.get("time"))
        return took


def write_times(path, parts):
    took = {test: seconds for part in parts for test, seconds in part.seconds().items()}
    before = path.read_text().splitlines() if path.exists() else []
    chosen = {test.split("::")[0] for test in took}
    for told, _, test in (line.strip().partition(" ") for line in before if "::" in line):
        file, seconds = test.split("::")[0], None if told == "-" else float(told)
        if test in took and took[test] is None:
            took[test] = seconds
        elif file not in chosen and (ROOT / file).exists():
            took[test] = seconds
    rows = sorted(took.items(), key=lambda row: (-(row[1] or 0), row[0]))
    lines = [f"    {'-' if s is None else f'{s:.0f}':>4} {test}" for test, s in rows]
    path.write_text(LIST + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
