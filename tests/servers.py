"""Real servers on this machine, which note what they were asked for."""

from __future__ import annotations

import http.server
import os
import re
import threading
from contextlib import contextmanager


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, whole or in ranges."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = self.translate_path(self.path)
        status = self.server.answers.get(os.path.basename(path))
        if isinstance(status, list):
            status = status.pop(0) if status else None
        if status:
            return self.send_error(status)
        if not asked or not self.server.ranges or not os.path.isfile(path):
            return super().do_GET()
        first, last = map(int, asked.groups())
        with open(path, "rb") as file:
            file.seek(first)
            content = file.read(last - first + 1)
        self.send_response(206)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Range", f"bytes {first}-{last}/{os.path.getsize(path)}")
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code="-", size="-"):
        self.server.asked.append((self.command, self.path, self.headers.get("Range"), int(code)))

    def log_message(self, *_):
        pass


@contextmanager
def web(folder):
    """A server of a folder: its address, `asked` (method, path, range, status of each request),
    `answers` (status for files that shall not be served; a list is for the first requests) and
    `ranges` (whether it knows them)."""

    def handler(*args):
        Ranges(*args, directory=str(folder))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.asked, server.answers, server.ranges, server.daemon_threads = [], {}, True, True
        server.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class _Noting:
    """WSGI: notes the method, path and range of each request, then passes it on."""

    def __init__(self, application):
        self.application, self.asked = application, []

    def __call__(self, environ, start_response):
        self.asked.append(
            (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("HTTP_RANGE"))
        )
        return self.application(environ, start_response)


@contextmanager
def s3():
    """An S3 store: the environment that a client needs, and the list of what was asked."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    noting = _Noting(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, noting, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    yield environment, noting.asked
    server.shutdown()
