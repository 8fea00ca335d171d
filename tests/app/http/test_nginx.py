"""The documented nginx in front of the server, where nginx is installed."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_http import TOKEN, picture, png
from test_server import Server, form, running

NGINX = os.environ.get("NGINX") or shutil.which("nginx", path=f"{os.defpath}:/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
PAGE = Path(__file__).parents[3] / "docs" / "serve.md"
NAME = "pictures.example"
MAIN = """
daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    {documented}
}}
"""


def documented(server: int, port: int) -> str:
    """The page's configuration, on a port and without TLS, for which there is no certificate."""
    (text,) = re.findall(r"```nginx\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    text, certificates = re.subn(r"\n *ssl_certificate.*", "", text)
    assert certificates == 2 and "listen 443 ssl;" in text and "127.0.0.1:8600;" in text
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    return text.replace("127.0.0.1:8600;", f"127.0.0.1:{server};")


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[Server, int]]:
    """A slow server behind nginx, and nginx's port."""
    settings = {"token": TOKEN, "hosts": [NAME], "proxies": ["127.0.0.1"]}
    with running("0.4", "80", "12", json.dumps(settings)) as server:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        text = MAIN.format(folder=tmp_path, documented=documented(server.port, port))
        (tmp_path / "nginx.conf").write_text(text)
        nginx = subprocess.Popen([NGINX, "-c", tmp_path / "nginx.conf", "-p", tmp_path])
        try:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and nginx.poll() is None:
                with socket.socket() as trial:
                    if trial.connect_ex(("127.0.0.1", port)) == 0:
                        break
            yield server, port
        finally:
            nginx.terminate()
            nginx.wait(10)


def open_request(
    port: int, method: str, path: str, body: bytes | None = None, kind: str = "", who: str = ""
) -> http.client.HTTPResponse:
    source = (who, 0) if who else None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30, source_address=source)
    headers = {"Host": NAME, "Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
    connection.request(method, path, body, headers)
    return connection.getresponse()


def ask(*request: Any, **more: Any) -> tuple[int, Any]:
    with open_request(*request, **more) as answer:
        content = answer.read()
        is_json = "json" in (answer.headers["Content-Type"] or "")
        return answer.status, json.loads(content) if is_json else content


def test_the_documented_nginx_serves_jobs_and_tells_clients_apart(
    proxied: tuple[Server, int],
) -> None:
    _, port = proxied
    body, kind = form({"find": "the cup", "paint": "a vase"}, png(picture()))
    status, job = ask(port, "POST", "/v1/edit", body, kind)
    assert status == 202
    with open_request(port, "GET", f"/v1/jobs/{job['id']}/events") as events:
        first = events.readline() + events.readline()  # before the job ends: it is not buffered
        assert ask(port, "GET", f"/v1/jobs/{job['id']}")[1]["finished"] is None
        last = events.read().split(b"\n\n")[-2]
    assert first.startswith(b"event: progress\ndata: ") and last.startswith(b"event: done\n")
    href = json.loads(last.partition(b"data: ")[2])["result"]["files"][0]["href"]
    assert ask(port, "GET", href)[0] == 200
    assert len(ask(port, "GET", "/v1/jobs")[1]["jobs"]) == 1
    if os.path.exists("/proc"):  # all of 127.0.0.0/8 is this machine's
        assert ask(port, "GET", "/v1/jobs", who="127.0.0.2")[1]["jobs"] == []


def test_the_documented_nginx_bounds_what_reaches_the_server(proxied: tuple[Server, int]) -> None:
    _, port = proxied
    half = b"POST /v1/edit HTTP/1.1\r\nHost: pictures.example\r\nContent-Length: 900\r\n\r\n--x"
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    for one in slow:
        one.sendall(half)
    body, kind = form({"find": "the cup"}, png(picture()))
    assert ask(port, "POST", "/v1/ground", body, kind, who="127.0.0.2")[0] == 202
    large = b"POST /v1/edit HTTP/1.1\r\nHost: pictures.example\r\nContent-Length: 60000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.3", 0)) as one:
        one.sendall(large)
        assert one.recv(100).startswith(b"HTTP/1.1 413")
    many = [ask(port, "GET", "/health", who="127.0.0.4")[0] for _ in range(80)]
    assert set(many) == {200, 429}  # a flood from one address
    assert ask(port, "GET", "/health", who="127.0.0.5")[0] == 200
    for one in slow:
        one.close()
