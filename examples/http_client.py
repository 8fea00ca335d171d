"""Repaint a thing through the server: python examples/http_client.py [http://127.0.0.1:8600]

Start the server before: groundbrush serve. `Client` needs nothing but Python; copy it.
"""

import json
import os
import secrets
import sys
from pathlib import Path
from urllib.request import Request, urlopen


class Client:
    """Uploads pictures and waits for the results."""

    def __init__(self, server: str, token: str | None = None) -> None:
        self.server = server.rstrip("/")
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str) -> bytes:
        """Return what is at an address of the server."""
        with urlopen(Request(f"{self.server}{path}", headers=self.headers)) as answer:
            return answer.read()

    def do(self, action: str, picture: str | Path, **request: object) -> dict:
        """Post an edit, remove, ground ..., with the fields of docs/serve.md, and wait for it."""
        edge = secrets.token_hex(16)
        part = f'--{edge}\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
        body = b"".join(
            (
                (part % ("request", "")).encode() + json.dumps(request).encode() + b"\r\n",
                (part % ("image", f'; filename="{Path(picture).name}"')).encode(),
                Path(picture).read_bytes() + f"\r\n--{edge}--\r\n".encode(),
            )
        )
        kind = {
            "Content-Type": f"multipart/form-data; boundary={edge}",
            "Idempotency-Key": edge,  # the same request again would not be a second job
        }
        with urlopen(Request(f"{self.server}/v1/{action}", body, {**self.headers, **kind})) as got:
            job = json.load(got)
        while job["state"] in ("waiting", "running"):
            job = json.loads(self.get(f"/v1/jobs/{job['id']}?wait=30"))
        return job

    def save(self, job: dict, folder: str | Path) -> list[Path]:
        """Download the files of a job that is done."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        paths = []
        for file in job["result"]["files"]:
            paths.append(Path(folder) / file["name"])
            paths[-1].write_bytes(self.get(file["href"]))
        return paths


if __name__ == "__main__":
    server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8600"
    client = Client(server, os.environ.get("GROUNDBRUSH_TOKEN"))
    picture = Path(__file__).parent / "fruit.png"
    job = client.do("edit", picture, find="the red apple", paint="a green pear", seed=7)
    if job["state"] == "done":
        client.save(job, "out/http")
    print(json.dumps(job, indent=2))
