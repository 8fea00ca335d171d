"""A small HTTP server on loopback that answers as the model hub does, for tests of downloads."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

SHA = "0123456789abcdef0123456789abcdef01234567"


class FakeHub(ThreadingHTTPServer):
    """Repositories as {name: {file: bytes}}, and how the server misbehaves.

    `gated` names repositories that need a licence; `cut` breaks a file's connection off once, after
    so many bytes; `broken` answers every file with 503; `delay` is seconds before each answer.
    `log` holds every request: method, path, Range.
    """

    daemon_threads = True

    def __init__(self, repos: Mapping[str, Mapping[str, bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos = {name: dict(files) for name, files in repos.items()}
        self.gated: set[str] = set()
        self.cut: dict[str, int] = {}
        self.broken = False
        self.delay = 0.0
        self.log: list[tuple[str, str, str]] = []

    @property
    def url(self) -> str:
        """Address for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def files_got(self) -> list[str]:
        """Files that were downloaded, in order."""
        return [path for method, path, _ in self.log if method == "GET" and "/resolve/" in path]


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.log.append((self.command, path, self.headers.get("Range", "")))
        time.sleep(self.server.delay)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/.*)?", path):
            self._api(found[1], found[2] or "")
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(*found.groups())
        else:
            self._refuse(404, "", "no such page")

    def _api(self, repo: str, rest: str) -> None:
        files = self.server.repos.get(repo)
        if files is None:
            self._refuse(404, "RepoNotFound", "Repository not found")
        elif rest == "/auth-check":
            if repo in self.server.gated:
                self._gated(repo)
            else:
                self._json({})
        elif rest.startswith("/revision/") and rest.split("/")[2] not in ("main", SHA):
            self._refuse(404, "RevisionNotFound", "Revision not found")
        elif rest.startswith("/tree/"):
            rows = [
                {"type": "file", "path": n, "size": len(c), "oid": _etag(c)}
                for n, c in files.items()
            ]
            self._json(rows)
        else:
            self._json(
                {
                    "id": repo,
                    "sha": SHA,
                    "gated": "manual" if repo in self.server.gated else False,
                    "siblings": [{"rfilename": n, "size": len(c)} for n, c in files.items()],
                }
            )

    def _file(self, repo: str, _: str, name: str) -> None:
        files = self.server.repos.get(repo, {})
        if repo in self.server.gated:
            return self._gated(repo)
        if name not in files:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        if self.server.broken:
            return self._refuse(503, "", "overloaded")
        content, start = files[name], 0
        ranged = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        end = len(content)
        if ranged:
            start, end = int(ranged[1]), min(int(ranged[2]) + 1 if ranged[2] else end, end)
        self.send_response(206 if ranged else 200)
        self.send_header("ETag", f'"{_etag(content)}"')
        self.send_header("X-Repo-Commit", SHA)
        self.send_header("Content-Length", str(end - start))
        self.send_header("Accept-Ranges", "bytes")
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
        self.end_headers()
        if self.command == "HEAD":
            return None
        cut = self.server.cut.pop(name, None)
        if cut is not None:
            self.wfile.write(content[start : start + cut])
            self.wfile.flush()
            self.close_connection = True
            return self.connection.close()
        with contextlib.suppress(OSError):
            self.wfile.write(content[start:end])
        return None

    def _gated(self, repo: str) -> None:
        self._refuse(403, "GatedRepo", f"Access to model {repo} is restricted")

    def _json(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _etag(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def folder_files(folder: Path) -> dict[str, bytes]:
    """A folder's files as a repository's."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@contextlib.contextmanager
def serving(repos: Mapping[str, Mapping[str, bytes]]) -> Iterator[FakeHub]:
    """Run a hub of these repositories in a thread."""
    hub = FakeHub(repos)
    thread = threading.Thread(target=hub.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
