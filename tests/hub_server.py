"""A small Hugging Face Hub on loopback: the endpoints that its client asks, and nothing else."""

import hashlib
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass
class Repository:
    """Files by path, at one commit; branches and tags name it."""

    files: dict[str, bytes]
    revisions: tuple[str, ...] = ("main",)
    token: str | None = None
    """Whoever does not send it sees no such repository."""
    is_gated: bool = False
    sizes: dict[str, int] = field(default_factory=dict)
    """What the listing says of some files in place of their sizes."""

    @property
    def commit(self) -> str:
        """40 hexadecimal digits that depend on the files."""
        text = "".join(f"{name}{_digest(content)}" for name, content in sorted(self.files.items()))
        return hashlib.sha1(text.encode()).hexdigest()


@dataclass
class Hub:
    """What a server has, and what it was asked for."""

    repositories: dict[str, Repository]
    asked: list[str] = field(default_factory=list)
    """``GET path`` and ``HEAD path`` in the order of the requests."""
    is_down: bool = False
    endpoint: str = ""

    @property
    def downloaded(self) -> list[str]:
        """Paths of the files whose bytes were sent."""
        paths = [unquote(line.split(" ")[1]) for line in self.asked if line.startswith("GET /")]
        return sorted(p.split("/", 5)[5] for p in paths if "/resolve/" in p)


@contextmanager
def serving(repositories):
    """Serve repositories by ``owner/name`` until the end of the block."""
    hub = Hub(repositories)

    class Handler(_Handler):
        here = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    here: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self._answer(has_body=False)

    def do_GET(self):
        self._answer(has_body=True)

    def _answer(self, *, has_body):
        path = urlsplit(self.path).path
        self.here.asked.append(f"{self.command} {path}")
        status, headers, body = self._respond(path)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if has_body:
            self.wfile.write(body)

    def _respond(self, path):
        if self.here.is_down:
            return 503, {}, b""
        words = [unquote(word) for word in path.strip("/").split("/")]
        is_api = words[:2] == ["api", "models"]
        words = words[2:] if is_api else words
        found = self.here.repositories.get("/".join(words[:2]))
        sent = self.headers.get("Authorization")
        if found is None or (found.token and sent != f"Bearer {found.token}"):
            return _error(401 if sent is None else 404, "RepoNotFound")
        if found.is_gated:
            return _error(403, "GatedRepo")
        what, revision = (words[2:4] + ["", ""])[:2]
        if what and revision not in (*found.revisions, found.commit):
            return _error(404, "RevisionNotFound")
        if is_api:
            return _as_json(_tree(found) if what == "tree" else {"id": words[1], **_info(found)})
        name = "/".join(words[4:])
        if name not in found.files:
            return _error(404, "EntryNotFound")
        content = found.files[name]
        return 200, {"ETag": f'"{_digest(content)}"', "X-Repo-Commit": found.commit}, content


def _digest(content):
    return hashlib.sha256(content).hexdigest()


def _tree(found):
    return [
        {
            "type": "file",
            "path": name,
            "size": found.sizes.get(name, len(content)),
            "oid": _digest(content)[:40],
        }
        for name, content in found.files.items()
    ]


def _info(found):
    files = [{"rfilename": file["path"], "size": file["size"]} for file in _tree(found)]
    return {"sha": found.commit, "siblings": files}


def _as_json(value):
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _error(status, code):
    return status, {"X-Error-Code": code}, b"{}"
