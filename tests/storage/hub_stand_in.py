"""A hub of data sets on this machine: what `huggingface_hub` asks for to list a repository and read its files."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

Tree = dict[str, bytes]


@dataclass
class Hub:
    """Repositories by name, each with its commits by hash and its branches."""

    commits: dict[str, dict[str, Tree]] = field(default_factory=dict)
    branches: dict[str, dict[str, str]] = field(default_factory=dict)
    private: dict[str, str] = field(default_factory=dict)
    """Tokens that open repositories."""
    busy: list[int] = field(default_factory=list)
    """Statuses that the next requests of files are answered with."""
    asked: Counter = field(default_factory=Counter)
    """Requests by what they ask for: revision, tree, resolve."""
    ranges: list[str] = field(default_factory=list)
    endpoint: str = ""

    def commit(self, repository: str, tree: Tree, branch: str = "main") -> str:
        listed = json.dumps([[path, _oid(content)] for path, content in sorted(tree.items())])
        commit = hashlib.sha1(f"{listed}{len(self.commits.get(repository, {}))}".encode()).hexdigest()
        self.commits.setdefault(repository, {})[commit] = tree
        self.branches.setdefault(repository, {})[branch] = commit
        return commit


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        parts = parts[1:] if parts[0] == "api" else parts
        repository, rest = "/".join(parts[1:3]), parts[3:] or ["revision", "main"]
        self.hub.asked[rest[0]] += 1
        token = self.hub.private.get(repository)
        if repository not in self.hub.commits or (token and self.headers.get("Authorization") != f"Bearer {token}"):
            self._fail(401 if token is None else 404, "RepoNotFound")
            return
        commit = self.hub.branches[repository].get(rest[1], rest[1])
        if (tree := self.hub.commits[repository].get(commit)) is None:
            self._fail(404, "RevisionNotFound")
            return
        {"revision": self._revision, "tree": self._tree, "resolve": self._file}[rest[0]](
            repository, commit, tree, "/".join(rest[2:])
        )

    def _revision(self, repository: str, commit: str, tree: Tree, path: str) -> None:
        self._answer(json.dumps({"id": repository, "sha": commit, "tags": [], "siblings": []}).encode())

    def _tree(self, repository: str, commit: str, tree: Tree, path: str) -> None:
        top = f"{path}/" if path else ""
        below = {name: content for name, content in tree.items() if name.startswith(top)}
        if not below:
            self._fail(404, "EntryNotFound")
            return
        is_deep = "recursive=true" in self.path.lower()
        folders = {name[: at + len(top)] for name in below for at, sign in enumerate(name[len(top) :]) if sign == "/"}
        found = [{"type": "directory", "path": name, "size": 0, "oid": _oid(name.encode())} for name in sorted(folders)]
        found += [
            {"type": "file", "path": name, "size": len(content), "oid": _oid(content)}
            for name, content in sorted(below.items())
        ]
        self._answer(json.dumps([one for one in found if is_deep or "/" not in one["path"][len(top) :]]).encode())

    def _file(self, repository: str, commit: str, tree: Tree, path: str) -> None:
        if self.hub.busy:
            self._fail(self.hub.busy.pop(0), "")
        elif path not in tree:
            self._fail(404, "EntryNotFound")
        else:
            wanted = self.headers.get("Range")
            self.hub.ranges.append(wanted or "")
            start, _, stop = (wanted or "bytes=0-").removeprefix("bytes=").partition("-")
            content = tree[path][int(start) : int(stop) + 1 if stop else None]
            self._answer(content, status=206 if wanted else 200)

    def _fail(self, status: int, code: str) -> None:
        self._answer(b"{}", status=status, **({"X-Error-Code": code} if code else {}))

    def _answer(self, content: bytes, *, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
