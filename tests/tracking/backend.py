"""A Weights & Biases back end on 127.0.0.1 for the tests: it records what a client sends and relays nothing."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import select
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from tests.tracking.operations import Operations
from tests.tracking.stored import Artifact, BackendRun

__all__ = ["Artifact", "Backend", "BackendRun"]

OPERATION = re.compile(r"^\s*(?:query|mutation)\s+(\w+)", re.MULTILINE)
FAULTS = (None, "500", "hang")


class Backend:
    """The server, from its construction to `close`; a context manager.

    Attributes:
        url: Address for WANDB_BASE_URL.
        unknown: (operation, detail) of everything that it did not understand and answered with an error.
        operations: Names of the GraphQL operations in the order of their arrival, without those that met a fault.
        requests: How many requests came, those included that met a fault.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.closed = threading.Event()
        self.unknown: list[tuple[str, str]] = []
        self.operations: list[str] = []
        self.requests = 0
        self._fault: str | None = None
        self._stored = Operations()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.backend = self
        self.url = self._stored.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="backend", daemon=True)
        self._thread.start()

    @property
    def runs(self) -> dict[str, BackendRun]:
        """The runs by their ids."""
        return self._stored.runs

    @property
    def views(self) -> list[dict[str, Any]]:
        """Workspaces and reports: id, type, name, displayName, entityName, projectName, and the spec, parsed."""
        return self._stored.views

    @property
    def fault(self) -> str | None:
        """What is wrong with the server: None, "500" (its answer to everything) or "hang" (it answers nothing).

        It may be changed at any time. A request that hung is answered when the fault is gone, if its client waited.
        """
        return self._fault

    @fault.setter
    def fault(self, fault: str | None) -> None:
        if fault not in FAULTS:
            raise ValueError(f"fault is one of {FAULTS}, not {fault!r}")
        self._fault = fault

    def environment(self, home: Path) -> dict[str, str]:
        """This process' environment for a client of this server, with a home folder of its own."""
        own = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "XDG_", "NETRC"))}
        return own | {
            "HOME": str(home),
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": "0123456789" * 4,
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_CONFIG_DIR": str(home / "config"),
            "WANDB_CACHE_DIR": str(home / "cache"),
            "WANDB_DATA_DIR": str(home / "data"),
        }

    def close(self) -> None:
        """Stop listening and end every connection; what was recorded stays."""
        if not self.closed.is_set():
            self.closed.set()
            self._server.shutdown()
            self._server.disconnect()
            self._server.server_close()
            self._thread.join()

    def __enter__(self) -> Backend:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def note(self, operation: str, detail: str) -> None:
        """Record something that was not understood."""
        with self.lock:
            self.unknown.append((operation, detail))

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """HTTP status and content of the answer to a GraphQL request."""
        query, variables = body["query"], body.get("variables") or {}
        found = OPERATION.search(query)
        name = found[1] if found else "?"
        with self.lock:
            self.operations.append(name)
            if name not in self._stored.known:
                self.note(name, query)
                return 400, {"errors": [{"message": f"{name}: unknown operation"}]}
            try:
                return 200, {"data": self._stored.known[name](variables)}
            except (LookupError, StopIteration, TypeError, ValueError) as error:
                self.note(name, f"{error!r} of {variables}")
                return 400, {"errors": [{"message": f"{name}: {error!r}"}]}

    def place(self, path: str) -> tuple[dict[str, bytes], str]:
        """Where a file of this address is stored, and under which name. Raises KeyError."""
        kind, number, name = unquote(urlsplit(path).path).lstrip("/").split("/", 2)
        if kind == "files":
            return self.runs[number].files, name
        if kind == "artifacts":
            return self._stored.artifacts[number].files, name
        raise KeyError(path)

    def put(self, path: str, content: bytes) -> None:
        """Store an uploaded file. Raises KeyError or ValueError."""
        with self.lock:
            if path.startswith("/manifests/"):
                self._stored.artifacts[path.split("/")[2]].manifest = json.loads(content)
            else:
                files, name = self.place(path)
                files[name] = content


class _Server(ThreadingHTTPServer):
    """A thread for each connection; the threads end with the connections."""

    backend: Backend
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def disconnect(self) -> None:
        """End every connection under its thread."""
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError) and not self.backend.closed.is_set():
            self.backend.note("HTTP", repr(sys.exception()))


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    @property
    def backend(self) -> Backend:
        return cast(_Server, self.server).backend

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing on the console."""

    def read_body(self) -> bytes:
        """The request's body: of a told length or in chunks, plain or by gzip."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():  # trailers
                pass
            body = b"".join(parts)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def send(self, status: int, content: bytes, kind: str = "application/json") -> None:
        """Send one answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def serve(self) -> None:
        """Answer one request, as the server's fault lets it."""
        body = self.read_body()
        with self.backend.lock:
            self.backend.requests += 1
        while self.backend.fault == "hang" and not self.backend.closed.is_set():
            time.sleep(0.02)
            if select.select([self.connection], [], [], 0)[0]:  # the client has given up
                break
        else:
            if self.backend.fault == "500":
                return self.send(500, b'{"errors": [{"message": "out of order"}]}')
            if not self.backend.closed.is_set():
                return self.reply(body)
        self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = serve

    def reply(self, body: bytes) -> None:
        """Answer one request; what is not understood is noted and answered by 404."""
        parts = urlsplit(self.path).path.split("/")
        try:
            if self.command == "PUT":
                self.backend.put(self.path, body)
                return self.send(200, b"{}")
            if self.command == "POST" and parts[1:] == ["graphql"]:
                status, answer = self.backend.answer(json.loads(body))
                return self.send(status, json.dumps(answer).encode())
            if self.command == "POST" and parts[1] == "files" and parts[-1] == "file_stream":
                with self.backend.lock:
                    self.backend.runs[unquote(parts[-2])].take_stream(json.loads(body))
                return self.send(200, b'{"exitcode": null, "limits": {}}')
            if self.command in ("GET", "HEAD"):
                files, name = self.backend.place(self.path)
                return self.send(200, files[name], "application/octet-stream")
            raise KeyError(self.path)
        except (LookupError, ValueError) as error:
            self.backend.note(f"{self.command} {self.path}", f"{error!r} of {body[:200]!r}")
            self.send(404, json.dumps({"errors": [{"message": repr(error)}]}).encode())
