"""The server as a process: many clients at once, closing in order, and one real edit."""

from __future__ import annotations

import dataclasses
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from groundbrush import Editor
from groundbrush.__main__ import main
from groundbrush.app.http import ServeSettings, command, serve
from groundbrush.app.http.settings import check_exposure, read_token
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.pictures.picture import open_picture
from groundbrush.editor.request import read_request
from PIL import Image
from quick_editor import colour
from test_http import picture, png

HERE = Path(__file__).parent
CLIENTS, EACH = 50, 2


class Server:
    """The process and what it says."""

    def __init__(self, folder: str, *arguments: str) -> None:
        self.folder = Path(folder)
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "quick_editor.py"), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": folder},
        )
        self.told = self.line()
        self.port = int(re.search(r":(\d+) ", self.told).group(1))

    def line(self) -> str:
        return json.loads(self.process.stdout.readline() or '"nothing"')

    def memory(self, name: str = "VmHWM") -> float:
        """Megabytes; by default the most it ever took."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", status).group(1)) / 1000


@contextmanager
def running(*arguments: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder, *arguments)
        try:
            yield server
        finally:
            server.process.kill()
            server.process.wait(10)
            server.process.stdout.close()


def ask(port: int, method: str, path: str, body: bytes | None = None, kind: str = "") -> tuple:
    """(status, headers, body) of one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {"Content-Type": kind} if kind else {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def form(request: dict, image: bytes) -> tuple[bytes, str]:
    """A multipart body and its kind, written by hand."""
    line = b'--edge\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
    parts = [
        line % (b"request", b""),
        json.dumps(request).encode(),
        b"\r\n",
        line % (b"image", b'; filename="one.png"'),
        image,
        b"\r\n--edge--\r\n",
    ]
    return b"".join(parts), "multipart/form-data; boundary=edge"


def client(port: int, number: int, seen: list[int], lost: list[str]) -> None:
    """Two edits, each posted until it is accepted, polled, downloaded and compared."""
    for k in range(EACH):
        pixels, words = picture(number, (200, 150)), f"a vase of client {number} and {k}"
        body = form({"boxes": [[20, 30, 60, 70]], "paint": words}, png(pixels))
        status, headers, answer = ask(port, "POST", "/v1/edit", *body)
        while status == 429:
            assert int(headers["Retry-After"]) >= 1
            seen.append(status)
            time.sleep(0.05)
            status, headers, answer = ask(port, "POST", "/v1/edit", *body)
        seen.append(status)
        job = json.loads(answer)
        while job.get("state") in ("waiting", "running"):
            status, _, answer = ask(port, "GET", f"/v1/jobs/{job['id']}?wait=20")
            seen.append(status)
            job = json.loads(answer)
        if job.get("state") != "done":
            lost.append(str(job))
            continue
        status, _, answer = ask(port, "GET", f"/v1/jobs/{job['id']}/files/result.png")
        seen.append(status)
        expected = pixels.copy()
        expected[30:70, 20:60] = colour(words, 0)
        if not (np.asarray(Image.open(io.BytesIO(answer))) == expected).all():
            lost.append(f"another picture came back to {number}")


def connected(port: int, address: str, sent: bytes = b"") -> socket.socket:
    """A connection from an address of this machine."""
    one = socket.create_connection(("127.0.0.1", port), 10, (address, 0))
    one.sendall(sent)
    return one


def is_closed(one: socket.socket, seconds: float) -> bool:
    """Whether the server closes it within so long."""
    one.settimeout(seconds)
    try:
        while one.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


WHOLE = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
HALF_FORM = (
    b"POST /v1/edit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x"
)


@pytest.mark.skipif(sys.platform != "linux", reason="needs all of 127.0.0.0/8")
@pytest.mark.parametrize("crowd", ["127.0.0.1", "127.0.0.{}"], ids=["one address", "many"])
def test_an_idle_crowd_and_slow_uploads_leave_others_their_answer(crowd: str) -> None:
    idle, slow = 1000, 50
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits[1], 4096), limits[1]))
    opened: list[socket.socket] = []
    stop = threading.Event()

    def trickle(sockets: list[socket.socket]) -> None:
        while not stop.wait(0.5):
            for one in sockets:
                with suppress(OSError):
                    one.sendall(b"-")

    body = form({"find": "the cup", "paint": "a vase"}, png(picture(0, (20, 20))))

    def post_seconds(server: Server) -> float:
        times = []
        for _ in range(5):
            started = time.monotonic()
            status, _, answer = ask(server.port, "POST", "/v1/edit", *body)
            times.append(time.monotonic() - started)
            assert status == 202
            job = json.loads(answer)["id"]
            assert json.loads(ask(server.port, "GET", f"/v1/jobs/{job}?wait=20")[2])["finished"]
        return sorted(times)[2]

    with running("0", "80", "12") as server:
        try:
            alone = post_seconds(server)
            trickling = [connected(server.port, "127.0.0.99", HALF_FORM) for _ in range(slow)]
            opened += trickling
            # Answered after their headers were read: until then they count as idle.
            assert ask(server.port, "GET", "/health")[0] == 200
            threading.Thread(target=trickle, args=(trickling,), daemon=True).start()
            for k in range(idle):
                opened.append(connected(server.port, crowd.format(2 + k % 40)))
            assert post_seconds(server) < 2 + 3 * alone  # other tests may have the machine
            assert not is_closed(trickling[0], 0.1)  # they were not thrown out to make room
        finally:
            stop.set()
            for one in opened:
                one.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_connection_that_waits_is_closed_in_time() -> None:
    settings = {"header_seconds": 1, "stall_seconds": 1, "upload_seconds": 3}
    with running("0", "80", "12", json.dumps(settings)) as server:
        silent = connected(server.port, "127.0.0.1")
        half = connected(server.port, "127.0.0.1", b"GET /health HTTP/1.1\r\nHost: loc")
        again = connected(server.port, "127.0.0.1", WHOLE)
        paused = connected(server.port, "127.0.0.1", HALF_FORM)
        for one in (silent, half, again):
            assert is_closed(one, 10)
        paused.settimeout(10)
        assert paused.recv(100).startswith(b"HTTP/1.1 408")
        trickles, started = connected(server.port, "127.0.0.1", HALF_FORM), time.monotonic()
        trickles.settimeout(0.3)
        answer = b""
        while not answer and time.monotonic() - started < 10:
            trickles.sendall(b"-")
            with suppress(TimeoutError):
                answer = trickles.recv(100)
        assert answer.startswith(b"HTTP/1.1 408")
        for one in (silent, half, again, paused, trickles):
            one.close()
        assert ask(server.port, "GET", "/health")[0] == 200


def test_connections_of_one_address_are_limited() -> None:
    with running("0", "80", "12", json.dumps({"connections_each": 3})) as server:
        busy = [connected(server.port, "127.0.0.1", HALF_FORM) for _ in range(3)]
        time.sleep(0.3)
        assert is_closed(connected(server.port, "127.0.0.1"), 5)
        other = connected(server.port, "127.0.0.2", WHOLE)
        other.settimeout(5)
        assert other.recv(100).startswith(b"HTTP/1.1 200")
        assert not is_closed(busy[0], 0.2)
        for one in (*busy, other):
            one.close()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_fifty_clients_get_what_is_theirs_and_memory_stays() -> None:
    with running("0.002", "80", "12") as server:
        seen, lost = [], []
        before = server.memory()
        threads = [
            threading.Thread(target=client, args=(server.port, n, seen, lost))
            for n in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert lost == []
        assert set(seen) == {200, 202, 429}
        assert seen.count(202) == CLIENTS * EACH
        metrics = ask(server.port, "GET", "/metrics")[2].decode()
        assert f'groundbrush_jobs_total{{action="edit",state="done"}} {CLIENTS * EACH}' in metrics
        assert int(re.search(r"results_kept (\d+)", metrics).group(1)) <= 80
        # of 100 pictures of 90 kB each; threads and allocator take most of it
        assert server.memory() - before < 60


def test_a_signal_lets_the_jobs_that_were_taken_end() -> None:
    with running("0.4", "80", "12") as server:  # three take 3.6 seconds
        body = form({"boxes": [[2, 3, 6, 7]], "paint": "a vase"}, png(picture()))
        taken = [json.loads(ask(server.port, "POST", "/v1/edit", *body)[2]) for _ in range(3)]
        server.process.send_signal(signal.SIGTERM)
        assert server.line().startswith("closing: waiting up to 20 s")
        status, headers, answer = ask(server.port, "POST", "/v1/edit", *body)
        assert (status, json.loads(answer)["error"]["code"]) == (503, "closing")
        assert "Retry-After" in headers
        for job in taken:
            told = json.loads(ask(server.port, "GET", f"/v1/jobs/{job['id']}?wait=20")[2])
            assert told["state"] == "done"
        assert server.process.wait(20) == 0
        assert list(server.folder.iterdir()) == []
        with pytest.raises(ConnectionRefusedError):
            ask(server.port, "GET", "/health")


def test_a_second_signal_ends_it_within_a_step(tmp_path: Path) -> None:
    with running("1", "80", "12") as server:
        body = form({"boxes": [[2, 3, 6, 7]], "paint": "a vase"}, png(picture()))
        for _ in range(8):
            ask(server.port, "POST", "/v1/edit", *body)
        server.process.send_signal(signal.SIGINT)
        assert server.line().startswith("closing")
        server.process.send_signal(signal.SIGINT)
        started = time.monotonic()
        assert server.process.wait(20) == 0
        assert time.monotonic() - started < 10  # eight jobs would take twenty-four seconds


def test_a_real_edit_over_http_is_the_one_of_python(
    miniature: Editor, scene_file: Any, tmp_path: Path
) -> None:
    path, _, asked = scene_file
    ready, told = threading.Event(), []

    def tell(words: str) -> None:
        told.append(words)
        ready.set()

    stop: list[Any] = []
    thread = threading.Thread(target=_serve_in_thread, args=(miniature, path, tell, stop))
    thread.start()
    assert ready.wait(30)
    port = int(re.search(r":(\d+) ", told[0]).group(1))
    try:
        want = {
            "find": asked.text,
            "paint": "a red apple",
            "seed": 5,
            "draft": True,
            "operations": [{"op": "dilate", "pixels": 2}],
        }
        body = json.dumps({"image": path.name, **want}).encode()
        job = json.loads(ask(port, "POST", "/v1/edit", body, "application/json")[2])
        while not job["finished"]:
            job = json.loads(ask(port, "GET", f"/v1/jobs/{job['id']}?wait=30")[2])
        assert job["state"] == "done", job
        assert 1 < job["step"] == job["total"]
        over_http = ask(port, "GET", f"/v1/jobs/{job['id']}/files/result.png")[2]
    finally:
        stop[0].should_exit = True
        thread.join(30)
    assert not thread.is_alive()
    named = dataclasses.replace(open_picture(path), source=PurePosixPath(path.name))
    edit = miniature.edit(named, want.pop("find"), want.pop("paint"), **want)
    edit.save(tmp_path / "python.png")
    assert over_http == (tmp_path / "python.png").read_bytes()
    recipe = job["result"]["edits"][0]["recipe"]
    assert read_request(recipe) == read_request(edit.recipe())


def _serve_in_thread(editor: Editor, path: Path, tell: Any, stop: list[Any]) -> None:
    """`serve` but for its signals, which only a main thread has."""
    import uvicorn

    run = uvicorn.Server.run

    def kept(self: Any, sockets: Any = None) -> None:
        stop.append(self)
        run(self, sockets)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uvicorn.Server, "run", kept)
        serve(editor, ServeSettings(root=path.parent), port=0, report=tell)


# The command


def test_the_command_makes_the_settings(tmp_path: Path, monkeypatch: Any) -> None:
    made: dict[str, Any] = {}
    monkeypatch.setattr("groundbrush.app.http.server.serve", lambda *a, **k: made.update(a=a, **k))
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    words = [
        "serve",
        "--host",
        "0.0.0.0",
        "--token-file",
        str(token),
        "--root",
        str(tmp_path),
        "--allow-host",
        "Pictures.Example",
        "--queue",
        "3",
        "--max-upload",
        "2",
        "--max-pixels",
        "0.5",
        "--keep",
        "4",
        "--keep-minutes",
        "2",
        "--grace",
        "1",
        "--proxy",
        "10.0.0.1",
        "--port",
        "0",
        "--lazy",
        "--quiet",
        "--offline",
    ]
    assert main(words) == 0
    settings = made["a"][1]
    assert (settings.token, settings.root) == ("0123456789abcdef", tmp_path)
    assert settings.hosts == ("127.0.0.1", "localhost", "::1", "0.0.0.0", "pictures.example")
    assert (settings.queue, settings.max_bytes, settings.max_pixels) == (3, 2_000_000, 500_000)
    assert (settings.keep, settings.keep_seconds, settings.grace) == (4, 120, 1)
    assert (made["host"], made["port"], made["proxies"]) == ("0.0.0.0", 0, ["10.0.0.1"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--host", "0.0.0.0"], "no token is set.*--token-file"),
        (["--root", "/nowhere"], "no folder"),
        (["--token-file", "/nowhere"], "token file '/nowhere' cannot be read"),
        (["--queue", "0"], "queue is 0"),
        (["--grace", "-1"], "grace is -1"),
    ],
)
def test_the_command_refuses(words: list[str], told: str, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.delenv("GROUNDBRUSH_TOKEN", raising=False)
    assert main(["serve", "--lazy", *words]) == 1
    assert re.search(told, capsys.readouterr().err)


def test_without_the_extra_the_command_says_what_to_install(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "fastapi" else True)
    assert main(["serve"]) == 1
    assert "serve needs fastapi: pip install 'groundbrush[serve]'" in capsys.readouterr().err


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(GroundbrushError, match="cannot listen on 127.0.0.1:.*--port"):
            serve(None, ServeSettings(), port=taken.getsockname()[1])
    with pytest.raises(GroundbrushError, match="cannot listen"):
        serve(None, ServeSettings(), port=99_999)


def test_a_token_is_long_and_not_in_the_command(monkeypatch: Any, tmp_path: Path) -> None:
    for bad in ("", "short", "with blanks in its middle", "ünïcödé-0123456789"):
        with pytest.raises(GroundbrushError, match="at least 16 plain characters"):
            ServeSettings(token=bad)
    monkeypatch.setenv("GROUNDBRUSH_TOKEN", "0123456789abcdef")
    assert read_token(None) == "0123456789abcdef"
    check_exposure("0.0.0.0", ServeSettings(token=read_token(None)))
    check_exposure("127.0.0.1", ServeSettings())
