"""A proxy before an S3 server that fails a share of all requests, as busy stores do; seeded."""

import http.client
import itertools
import random
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


class FailingStore:
    """Answers 503 to a share of the requests, breaks off in the body of others, and sometimes loses a put's answer."""

    def __init__(self, upstream: str, *, share: float, seed: int = 0) -> None:
        self.upstream, self.share, self.lock = urlsplit(upstream).netloc, share, threading.Lock()
        self.seed, self.counts, self.headers = seed, Counter[str](), list[dict[str, str]]()
        self.faults = {method: itertools.cycle(kinds) for method, kinds in _FAULTS.items()}
        self.moods: dict[str, random.Random] = {}
        """One by method: the n-th GET then fares the same, whichever threads' other requests came before it."""
        self.failing: str | None = None
        """Requests whose path has this in it always fail."""
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                store.answer(self)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _answer

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> "FailingStore":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def uri(self) -> str:
        host, port = self.server.server_address[:2]
        return f"http://{host}:{port}"

    def _draw(self, handler: BaseHTTPRequestHandler) -> str:
        with self.lock:
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            if self.failing and self.failing in handler.path:
                return "busy"
            mood = self.moods.setdefault(handler.command, random.Random(f"{self.seed} {handler.command}"))
            kind = next(self.faults[handler.command]) if mood.random() < self.share else "good"
            self.counts[kind] += 1
            return kind

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.headers.get("Expect") == "100-continue":
            handler.headers.replace_header("Expect", "")
        length = int(handler.headers.get("Content-Length") or 0)
        body, kind = handler.rfile.read(length), self._draw(handler)
        if kind == "busy":
            _send(handler, 503, [("Content-Type", "application/xml")], SLOW_DOWN)
            return
        upstream = http.client.HTTPConnection(self.upstream)
        headers = {name: value for name, value in handler.headers.items() if value}
        upstream.request(handler.command, handler.path, body, headers)
        answer = upstream.getresponse()
        content = answer.read()
        sent = [(name, value) for name, value in answer.getheaders() if name.lower() not in _OWN]
        if kind == "lost":
            handler.close_connection = True
            return
        length_there = int(answer.getheader("Content-Length") or 0)
        _send(handler, answer.status, sent, content, length=length_there, is_cut=kind == "broken")
        upstream.close()


_FAULTS = {
    "GET": ["busy", "broken"],
    "PUT": ["lost", "busy"],
    "HEAD": ["busy"],
    "POST": ["busy"],
    "DELETE": ["busy"],
}
"""What goes wrong with requests of a method, in turn."""

_OWN = {"content-length", "transfer-encoding", "connection", "date", "server"}


def _send(
    handler: BaseHTTPRequestHandler,
    status: int,
    headers: list[tuple[str, str]],
    body: bytes,
    *,
    length: int | None = None,
    is_cut: bool = False,
) -> None:
    handler.send_response(status)
    for name, value in headers:
        handler.send_header(name, value)
    is_head = handler.command == "HEAD"
    handler.send_header("Content-Length", str((length or 0) if is_head else len(body)))
    handler.end_headers()
    if not is_head:
        handler.wfile.write(body[: len(body) // 2] if is_cut else body)
    if is_cut:
        handler.close_connection = True
