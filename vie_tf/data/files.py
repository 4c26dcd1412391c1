"""Access to files by path: local files, web addresses, object stores.

A path with `://` in it is remote. requests reads `http://` and `https://`; everything else goes
through fsspec, whose packages know `s3://` (s3fs), `gs://` (gcsfs), `az://` (adlfs) and more. For
local paths none of them is imported. TensorFlow's and tensorflow-io's own file systems are
unsuitable: TFRecordDataset requests 127 MB from S3 to read one record, http:// downloads a whole
file to get its size, a host that does not answer is reported as a missing file after a minute, and
a process that has read from S3 aborts when it ends.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from vie_tf.errors import InputError

_CONNECT_SECONDS, _ANSWER_SECONDS = 4, 15
_BUSY = (429, 500, 502, 503, 504)  # worth another try
_WEB_CHUNK, _CHUNK = 1 << 16, 4 << 20  # bytes in memory while a file is copied


def is_remote(path: str) -> bool:
    """Returns whether a path is on another machine."""
    return "://" in path


def is_web(path: str) -> bool:
    """Returns whether a path is a web address, which can be read but not written."""
    return path.startswith(("http://", "https://"))


def read(path: str) -> bytes:
    """Returns the content of a file.

    Raises:
        OSError: with a reason for the user; FileNotFoundError if there is no such file.
    """
    if is_web(path):
        return _request("GET", path).content
    if not is_remote(path):
        with open(path, "rb") as file:
            return file.read()
    with _os_errors(path):
        return _store(path).cat_file(path)


def read_ranges(path: str, ranges: list[tuple[int, int]]) -> list[bytes]:
    """Returns the bytes of some parts of a file, each given by start and length.

    Adjacent ranges are one request; separate requests to a remote file run in parallel. A local
    file that has become too short gives what is there. Raises OSError as `read`.
    """
    parts: list[list[tuple[int, int]]] = []
    for place in sorted(set(ranges)):
        if parts and sum(parts[-1][-1]) == place[0]:
            parts[-1].append(place)
        else:
            parts.append([place])
    spans = [(part[0][0], sum(part[-1]) - part[0][0]) for part in parts]
    if not is_remote(path):
        with open(path, "rb", buffering=0) as file:
            blocks = [os.pread(file.fileno(), length, start) for start, length in spans]
    elif len(spans) == 1:
        blocks = [_read_range(path, *spans[0])]
    else:
        blocks = list(_pool().map(lambda span: _read_range(path, *span), spans))
    found = {}
    for part, (begin, _), block in zip(parts, spans, blocks):
        for start, length in part:
            found[start, length] = block[start - begin : start - begin + length]
    return [found[place] for place in ranges]


def _read_range(path: str, start: int, length: int) -> bytes:
    """Returns bytes of a remote file, with one request."""
    if is_web(path):
        return _request("GET", path, 206, Range=f"bytes={start}-{start + length - 1}").content
    with _os_errors(path):
        return _store(path).cat_file(path, start=start, end=start + length)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(64)


def size(path: str) -> int | None:
    """Returns a file's length in bytes, None if there is no such file. Raises OSError as `read`."""
    try:
        if is_web(path):
            return int(_request("HEAD", path).headers["Content-Length"])
        if not is_remote(path):
            return os.path.getsize(path) if os.path.isfile(path) else None
        with _os_errors(path):
            return _store(path).info(path)["size"]
    except (FileNotFoundError, KeyError):
        return None


def copy_into(path: str, file: Any, alive: Callable[[], Any] = lambda: None) -> int:
    """Appends the content of a file to an open one, in little memory; returns the number of bytes.

    `alive` is called repeatedly during the work. Raises OSError as `read`; if a remote file
    failed, with its path as `filename`.
    """
    copied = 0
    for chunk in _chunks(path):
        file.write(chunk)
        copied += len(chunk)
        alive()
    return copied


def _chunks(path: str) -> Iterator[bytes]:
    """Yields the content of a file, piece by piece."""
    if is_web(path):
        with _answer("GET", path) as answer:
            got = 0
            for chunk in answer.iter_content(_WEB_CHUNK):
                yield chunk
                got += len(chunk)
            if got != int(answer.headers.get("Content-Length", got)):
                raise OSError(errno.EIO, f"was cut off after {got} bytes", path)
    elif is_remote(path):
        length = size(path)
        if length is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        for start in range(0, length, _CHUNK):
            yield _read_range(path, start, min(_CHUNK, length - start))
    else:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk


@contextmanager
def whole(path: str) -> Iterator[str]:
    """Yields a local path to write to; when the block ends, its content replaces `path` at once.

    A file, or a local folder. After an error, or if nothing is written, `path` is left as it was.
    """
    remote = is_remote(path)
    place = os.path.join(tempfile.gettempdir(), "vie_tf") if remote else path
    part = f"{place}.{uuid.uuid4().hex}.part"
    try:
        yield part
        if not os.path.exists(part):
            pass
        elif remote:
            with _os_errors(path):
                _store(path).put_file(part, path)
        elif os.path.isdir(part):
            if os.path.isdir(path):
                shutil.rmtree(path)
            os.replace(part, path)
        else:
            with open(part, "rb") as file:
                os.fsync(file.fileno())
            os.replace(part, path)
    finally:
        remove(part)


def remove(path: str) -> None:
    """Deletes a file, or a folder with its content; does nothing if there is none."""
    if is_remote(path):
        with suppress(FileNotFoundError), _os_errors(path):
            _store(path).rm(path, recursive=True)
    elif os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):
            os.remove(path)


@cache
def _session() -> Any:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    session = requests.Session()
    # The total wait for an answer is 45 s; data_prep's patience with a worker is 60 s.
    again = Retry(3, read=2, backoff_factor=0.5, status_forcelist=_BUSY, raise_on_status=False)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=64, max_retries=again))
    return session


def _request(method: str, address: str, expected: int = 200, **headers: str) -> Any:
    """Returns a web server's response, read completely."""
    with _answer(method, address, expected, **headers) as answer:
        _ = answer.content
    return answer


@contextmanager
def _answer(method: str, address: str, expected: int = 200, **headers: str) -> Iterator[Any]:
    """Yields a web server's response of the expected status; its content has yet to be read."""
    import requests

    headers["Accept-Encoding"] = "identity"
    try:
        with _session().request(
            method,
            address,
            headers=headers,
            timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS),
            allow_redirects=True,
            stream=True,
        ) as answer:
            status = answer.status_code
            if status == expected:
                yield answer
                return
    except requests.RequestException as error:
        raise OSError(errno.EIO, f"cannot be reached ({_root(error)})", address) from error
    if status in (404, 410):
        raise FileNotFoundError(errno.ENOENT, f"HTTP {status} {answer.reason}", address)
    if status == 200:
        raise OSError(errno.EIO, "the server does not send ranges of bytes", address)
    code = errno.EACCES if status in (401, 403) else errno.EIO
    raise OSError(code, f"HTTP {status} {answer.reason}", address)


def _root(error: BaseException) -> str:
    """Returns the system's message at the root of a library's exception."""
    while (under := error.__cause__ or error.__context__) is not None:
        error = under
    return getattr(error, "strerror", None) or str(error)


@cache
def _file_system(scheme: str) -> Any:
    import fsspec

    settings = {}
    if scheme == "s3":
        waits = {"connect_timeout": _CONNECT_SECONDS, "read_timeout": _ANSWER_SECONDS}
        settings["config_kwargs"] = {**waits, "retries": {"max_attempts": 3}}
    return fsspec.filesystem(scheme, use_listings_cache=False, **settings)


def _store(path: str) -> Any:
    """Returns the file system of an address.

    Raises:
        InputError: a package is missing, or there is no such file system.
    """
    try:
        return _file_system(path.split("://")[0])
    except (ImportError, ValueError) as error:
        raise InputError(
            f"{path}: {error}; s3:// needs pip install s3fs, gs:// gcsfs, az:// adlfs"
        ) from error


@contextmanager
def _os_errors(path: str) -> Iterator[None]:
    """Turns everything that a store's package raises into OSError, with a reason and the path."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "no such file", path) from error
    except PermissionError as error:
        raise OSError(errno.EACCES, str(error), path) from error
    except Exception as error:  # each package has its own
        raise OSError(errno.EIO, " ".join(str(error).split()), path) from error
