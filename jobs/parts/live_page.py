"""A run as a page that refreshes itself: its state every few seconds, its report when there is more to tell.

Served on loopback alone, and only to who asks for it by that name, so that no page of another site can read it; what
is in the run is shown as text, and nothing is loaded from elsewhere. Nothing is written into the run.
"""

import io
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rich.console import Console

from raypipe.report import gather_numbers, terminal
from raypipe.report.numbers.excerpts import excerpts
from raypipe.report.page.page import page
from raypipe.storage.folder import Folder

HOST = "127.0.0.1"
REPORTS_EVERY = 5
"""States between two reports, at least: a report reads the run's columns."""
_WIDTH = 118
_SHELL = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>raypipe, live</title><style>
body {{ margin: 0; font: 15px system-ui, sans-serif; background: #fff; color: #1c1c1c }}
header {{ position: sticky; top: 0; padding: .5rem 1rem; background: #f4f4f2; border-bottom: 1px solid #ccc;
  max-height: 40vh; overflow: auto }}
pre {{ margin: 0; font-size: 13px; line-height: 1.35 }} p {{ margin: .3rem 0 0; color: #666 }}
iframe {{ display: block; width: 100%; height: 75vh; border: 0 }}
</style></head><body>
<header><pre id="state" aria-live="polite"></pre><p id="when"></p></header>
<iframe id="report" src="/report" title="Report of the run"></iframe>
<script nonce="{nonce}">
const state = document.getElementById("state"), when = document.getElementById("when");
const frame = document.getElementById("report");
let shown = null;
async function look() {{
  try {{
    const found = await (await fetch("/state", {{cache: "no-store"}})).json();
    state.textContent = found.state;
    when.textContent = "Looked at " + new Date().toLocaleTimeString();
    if (shown !== null && shown !== found.report) frame.contentWindow.location.replace("/report");
    shown = found.report;
  }} catch (error) {{ when.textContent = "No answer from raypipe show_run: has it ended?"; }}
}}
look();
setInterval(look, {every_ms});
</script></body></html>
"""


@dataclass
class LivePage:
    """What is served of a run."""

    run: Folder
    every_s: float
    _report: str = field(default="", init=False)
    _made_at: float = field(default=float("-inf"), init=False)
    _seen: str = field(default="", init=False)
    _version: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def state(self) -> str:
        """The run's state as the terminal has it, as text.

        Raises
        ------
        FileNotFoundError
            If the folder holds no run.
        """
        console = Console(file=io.StringIO(), record=True, width=_WIDTH)
        console.print(terminal.status(self.run))
        return console.export_text()

    def version(self, state: str) -> int:
        """A number that grows when the report is to be looked at anew: the state is another, and it is old enough."""
        with self._lock:
            if state != self._seen and time.monotonic() - self._made_at > REPORTS_EVERY * self.every_s:
                self._seen, self._version, self._made_at, self._report = state, self._version + 1, time.monotonic(), ""
            return self._version

    def report(self) -> str:
        """The run's report as it is now, without excerpts, which would read the corpus again."""
        with self._lock:
            if not self._report:
                numbers = gather_numbers(self.run)
                self._report = page(numbers, excerpts(numbers, None))
            return self._report


def server_of(live: LivePage, *, port: int) -> ThreadingHTTPServer:
    """A server on loopback, bound and not yet serving; of port 0 it takes a free one.

    Raises
    ------
    OSError
        If the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        """Answers three paths; says nothing of them on the terminal."""

        def do_GET(self) -> None:
            """The page, its state, its report."""
            bound = self.connection.getsockname()[1]
            if self.headers.get("Host") not in (f"{HOST}:{bound}", f"localhost:{bound}"):
                self._send(HTTPStatus.FORBIDDEN, "text/plain", "asked for by another name")
                return
            try:
                self._answer()
            except (OSError, ValueError, KeyError) as error:  # a run that is gone, or a file half read: asked again
                self._send(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{type(error).__name__}: {error}")

        def _answer(self) -> None:
            if self.path == "/":
                nonce = secrets.token_urlsafe(16)
                shell = _SHELL.format(nonce=nonce, every_ms=round(1000 * live.every_s))
                policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'"
                self._send(HTTPStatus.OK, "text/html", shell, policy + "; connect-src 'self'; frame-src 'self'")
            elif self.path == "/state":
                state = live.state()
                said = {"state": state, "report": live.version(state)}
                self._send(HTTPStatus.OK, "application/json", json.dumps(said))
            elif self.path == "/report":
                self._send(HTTPStatus.OK, "text/html", live.report())
            else:
                self._send(HTTPStatus.NOT_FOUND, "text/plain", "there is /, /state and /report")

        def _send(self, status: HTTPStatus, kind: str, content: str, policy: str = "") -> None:
            body = content.encode("utf-8", "replace")
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            if policy:
                self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    return ThreadingHTTPServer((HOST, port), Handler)
