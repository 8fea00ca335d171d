"""The addresses: what is taken, what is refused and how, what comes back."""

from __future__ import annotations

import gc
import hashlib
import hmac
import io
import json
import logging
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np
import pytest
from fake_editor import spot
from fastapi.testclient import TestClient
from groundbrush.app.http import ServeSettings, create_app, webhook
from groundbrush.app.http.application import served_model
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.masks.source import encode_mask
from groundbrush.editor.pictures.picture import Picture
from groundbrush.editor.request import EditRequest
from groundbrush.inpaint import InpaintSettings
from PIL import Image
from quick_editor import STEPS, QuickEditor, colour

TOKEN = "a token of some length".replace(" ", "-")


def picture(seed: int = 0, size: tuple[int, int] = (16, 12)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


class Client:
    """A server with its editor, and requests in fewer words."""

    def __init__(self, **settings: Any) -> None:
        self.editor, self.now = QuickEditor(), 1000.0
        settings = {"hosts": ("testserver",), **settings}
        self.app = create_app(self.editor, ServeSettings(**settings), clock=lambda: self.now)
        self.http = TestClient(self.app, raise_server_exceptions=False)
        self.store = self.app.state.store

    def post(self, action: str, ask: dict, image: bytes | None = None, **more: Any) -> Any:
        files = {
            "request": (None, json.dumps(ask), "application/json"),
            "image": ("one.png", png(picture()) if image is None else image),
        }
        return self.http.post(f"/v1/{action}", files={**files, **more})

    def done(self, answer: Any) -> dict:
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
        job = self.http.get(f"{answer.headers['location']}?wait=20").json()
        assert job["finished"] is not None
        return job

    def file(self, job: dict, name: str) -> bytes:
        (href,) = [f["href"] for f in job["result"]["files"] if f["name"] == name]
        answer = self.http.get(href)
        assert answer.status_code == 200
        assert len(answer.content) == int(answer.headers["content-length"])
        return answer.content


@pytest.fixture
def make() -> Iterator[Any]:
    made: list[Client] = []

    def client(**settings: Any) -> Client:
        made.append(Client(**settings))
        return made[-1]

    yield client
    for one in made:
        one.editor.gate.set()
        one.store.close()


@pytest.fixture
def client(make: Any) -> Client:
    return make()


def error(answer: Any) -> tuple[int, str]:
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"code", "message", "details"}
    return answer.status_code, answer.json()["error"]["code"]


# What is requested is done


def test_an_edit_comes_back_as_a_png_with_its_recipe(client: Client) -> None:
    pixels = picture()
    ask = {"find": "the cup", "paint": "a vase", "seed": 3, "variants": 2}
    job = client.done(client.post("edit", ask, png(pixels)))
    assert (job["state"], job["step"], job["total"]) == ("done", STEPS, STEPS)
    (edit,) = job["result"]["edits"]
    assert edit["found"]["phrase"] == "the cup"
    assert edit["recipe"] == json.loads(client.file(job, "recipe.json"))
    assert edit["recipe"]["seed"] == 3 and edit["recipe"]["image"]["path"] == "one.png"
    mask = np.asarray(Image.open(io.BytesIO(client.file(job, "mask.png")))) > 0
    assert (mask == spot((12, 16), "the cup")).all()
    assert [v["seed"] for v in edit["variants"]] == [3, 4]
    for variant in edit["variants"]:
        image = Image.open(io.BytesIO(client.file(job, variant["file"])))
        painted = np.asarray(image)
        assert (painted[mask] == colour("a vase", variant["seed"])).all()
        assert (painted[~mask] == pixels[~mask]).all()
        assert json.loads(image.info["groundbrush"])["seed"] == variant["seed"]


def test_the_recipe_does_it_again(client: Client) -> None:
    ask = {
        "find": "the cup",
        "boxes": [[2, 3, 9, 8]],
        "paint": "a vase",
        "operations": [{"op": "dilate", "pixels": 1}],
    }
    first = client.done(client.post("edit", ask))
    assert "'the cup' was not searched for" in first["result"]["edits"][0]["notes"][0]
    again = client.done(client.post("run", first["result"]["edits"][0]["recipe"]))
    assert client.file(again, "result.png") == client.file(first, "result.png")


def test_a_recipe_of_several_edits_is_done_in_order_up_to_a_limit(client: Client) -> None:
    asks = [{"find": "the red dog", "paint": words} for words in ("a cat", "a cup")]
    one, two = (
        client.done(client.post("edit", ask))["result"]["edits"][0]["recipe"] for ask in asks
    )
    job = client.done(client.post("run", {**two, "before": [one]}))
    again = job["result"]["edits"][0]["recipe"]
    assert [step["paint"] for step in (*again["before"], again)] == ["a cat", "a cup"]
    answer = client.post("run", {**two, "before": [one] * 8})
    assert answer.status_code >= 400
    assert "9 edits in a recipe given; expected at most 8" in answer.text
    masked = {**one, "mask": {"size": [100_000, 100_000], "bits": ""}}
    answer = client.post("run", {**two, "before": [masked]})
    assert "the recipe's mask is 100000x100000 pixels" in answer.text


def test_a_recipe_of_another_preset_is_refused(client: Client) -> None:
    job = client.done(client.post("edit", {"find": "the red dog", "paint": "a cat"}))
    recipe = {**job["result"]["edits"][0]["recipe"], "preset": "other"}
    answer = client.post("run", recipe)
    assert error(answer) == (422, "unprocessable")
    assert "the recipe is of preset 'other'" in answer.text


def test_where_everything_else_is_told(client: Client) -> None:
    job = client.done(client.post("ground", {"find": "the ambiguous dog"}))
    assert job["result"]["found"]["status"] == "ambiguous"
    assert job["result"]["edits"] is None
    job = client.done(client.post("ground", {"find": "the absent dog"}))
    assert (job["state"], job["result"]["found"]["box"]) == ("done", None)
    job = client.done(client.post("ground-all", {"sentence": "a dog and a cup"}))
    assert [s["ids"] for s in job["result"]["segments"]] == [[1]]
    document = json.loads(client.file(job, "panoptic.json"))
    assert document["annotations"][0]["file_name"] == "panoptic.png"


def test_removing_and_extending_and_a_mask(client: Client) -> None:
    job = client.done(client.post("remove", {"find": "the absent dog"}))
    (edit,) = job["result"]["edits"]
    assert (edit["done"], edit["reason"], edit["variants"]) == (False, "it is absent", [])
    job = client.done(client.post("extend", {"extend": {"right": 4}}))
    assert Image.open(io.BytesIO(client.file(job, "result.png"))).size == (20, 12)
    mask = np.zeros((12, 16, 3), np.uint8)
    mask[2:5, 3:7] = 255
    job = client.done(client.post("edit", {"paint": "a hat"}, mask=("m.png", png(mask))))
    assert job["result"]["edits"][0]["support_pixels"] == 12


def test_a_sentence_is_done_step_by_step(client: Client) -> None:
    ask = {"sentence": "remove the cup and replace the dog with a cat"}
    job = client.done(client.post("apply", ask))
    assert [e["recipe"]["action"] for e in job["result"]["edits"]] == ["remove", "edit"]
    assert {f["name"] for f in job["result"]["files"]} == {
        "mask.png",
        "plan.json",
        "result.png",
        "step-1.png",
        "step-2.png",
    }


@pytest.mark.parametrize(
    ("action", "ask", "words"),
    [
        ("apply", {"sentence": "paint something somewhere"}, "not all of the sentence"),
        ("apply", {"sentence": "hello"}, "no steps"),
        ("ground-all", {"sentence": "."}, "no words"),
        ("ground", {"find": "a cup and a dog"}, "names 2 things"),
        ("edit", {"find": "a cup and a dog", "paint": "a hat"}, "names 2 things"),
        ("edit", {"boxes": [[20, 3, 30, 8]], "paint": "a hat"}, "box"),
        ("remove", {"operations": [{"op": "points", "points": [[50, 3]]}], "find": "c"}, "point"),
        ("run", {"groundbrush": 1, "find": "the cup", "paint": "a"}, "expected one of edit"),
        ("run", {"groundbrush": 2, "action": "remove", "find": "the cup"}, "groundbrush"),
    ],
)
def test_what_cannot_be_read_is_refused_before_it_waits(
    client: Client, action: str, ask: dict, words: str
) -> None:
    answer = client.post(action, ask)
    assert error(answer)[0] == 422
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "boxes", "boxes": [[5, 2, 3, 4]]}, "x0 < x1"),
        ({"op": "boxes", "boxes": [[1, 2, 3, 4]] * 101}, "at most 100"),
        ({"op": "points", "points": [[1, "secret" * 1000]]}, "pairs such as"),
        ({"op": "points", "points": [[1, 2]] * 1001}, "at most 1000"),
        ({"op": "brush", "strokes": [[[1, 2]]] * 201}, "at most 200"),
    ],
)
def test_places_are_the_editors_to_refuse_and_not_repeated(
    client: Client, operation: dict, expected: str
) -> None:
    answer = client.post("edit", {"find": "c", "paint": "a", "operations": [operation]})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "unprocessable"
    assert expected in error["message"] and "secret" not in answer.text
    most = {"op": "boxes", "boxes": [[1, 2, 3, 4]] * 100}
    assert client.post("edit", {"find": "c", "paint": "a", "operations": [most]}).status_code == 202


def test_the_document_has_the_editors_own_fields(client: Client) -> None:
    schemas = client.http.get("/openapi.json").json()["components"]["schemas"]
    assert set(schemas["EditBody"]["properties"]) == set(EditRequest.model_fields)
    described = schemas["EditBody"]["properties"]["settings"]["properties"]
    assert set(described) == set(InpaintSettings.__dataclass_fields__)
    assert (described["steps"]["minimum"], described["steps"]["maximum"]) == (1, 1000)
    assert described["blend"]["enum"] == ["feather", "poisson", "laplacian"]


# Failures


def test_a_job_that_fails_says_why_and_hides_the_rest(client: Client, caplog: Any) -> None:
    job = client.done(client.post("ground", {"find": "the refused word"}))
    assert job["state"] == "failed"
    assert job["error"]["message"].startswith("'the refused word' given; expected")
    with caplog.at_level(logging.ERROR, "groundbrush.serve"):
        job = client.done(client.post("ground", {"find": "explode"}))
    assert "a model broke" not in json.dumps(job)
    assert job["id"] in job["error"]["message"] and job["id"] in caplog.text
    answer = client.http.get(f"/v1/jobs/{job['id']}/files/result.png")
    assert error(answer) == (404, "no_file")
    assert not any(path.is_file() for path in Path(client.store._spool.name).rglob("*"))


def test_no_picture_stays_in_memory(make: Any) -> None:
    """Whatever became of a job or of a request; nothing is left to the garbage collector."""
    client = make(keep=500, queue=500, queue_each=500)

    def run(paint: str, cancel: bool = False) -> str:
        if cancel:
            client.editor.gate.clear()
        answer = client.post("edit", {"find": "the cup", "paint": paint})
        if cancel:
            client.http.delete(answer.headers["location"])
            client.editor.gate.set()
        return client.done(answer)["state"]

    def pictures() -> int:
        return sum(type(one) is Picture for one in gc.get_objects())

    broken = png(picture(size=(60, 60)))[:-2000]
    run("a vase")
    gc.collect()
    gc.disable()
    try:
        before = pictures()
        for _ in range(10):
            assert run("explode") == run("refused") == "failed"
            assert run("a vase", cancel=True) == "cancelled"
            assert run("a vase") == "done"
            assert client.post("edit", {"find": "a", "paint": "b"}, broken).status_code == 422
            wrong = {"find": "a", "paint": "b", "boxes": [[5, 5, 5, 5]]}
            assert client.post("edit", wrong).status_code == 422
        assert pictures() <= before
    finally:
        gc.enable()


def test_what_goes_wrong_in_the_server_is_not_told(client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(client.store, "counts", lambda: 1 / 0)
    answer = client.http.get("/health")
    assert error(answer) == (500, "internal")
    assert "ZeroDivision" not in answer.text


@pytest.mark.parametrize(
    ("ask", "code", "words"),
    [
        ({"find": "the cup"}, "invalid", "paint: Field required"),
        ({"find": " ", "paint": "a"}, "unprocessable", "find"),
        ({"find": "the cup", "paint": "a", "seeds": 1}, "invalid", "seeds: Extra inputs"),
        ({"find": "the cup", "paint": "a", "seed": -1}, "invalid", "seed"),
        ({"find": "the cup", "paint": "a", "seed": "1"}, "invalid", "seed"),
        ({"find": "the cup", "paint": "a", "image": 3}, "invalid", "image"),
        (
            {"find": "c", "paint": "a", "settings": {"step": 4}},
            "unprocessable",
            "unknown name 'step'",
        ),
        ({"find": "c", "paint": "a", "operations": [{"op": "grow"}]}, "invalid", "operations"),
        ({"paint": "a"}, "unprocessable", "no mask or box is given"),
        ({"boxes": [[5, 5, 4, 9]], "paint": "a"}, "unprocessable", "x0 < x1"),
        ({"boxes": [[0, 0, 1, 1]], "candidate": 1, "paint": "a"}, "unprocessable", "candidate"),
        ({"find": "c", "paint": "a", "settings": {"size": 72}}, "unprocessable", "multiple of 64"),
    ],
)
def test_a_wrong_value_is_named(client: Client, ask: dict, code: str, words: str) -> None:
    answer = client.post("edit", ask)
    assert error(answer) == (422, code)
    assert words in answer.json()["error"]["message"]
    assert client.store.counts()["done"] == 0


@pytest.mark.parametrize(
    ("action", "ask"),
    [
        ("ground", {"find": "the cup"}),
        ("ground-all", {"sentence": "a cup and a dog"}),
        ("edit", {"find": "the cup", "paint": "a dog"}),
        ("remove", {"find": "the cup"}),
        ("extend", {"extend": {"right": 16}}),
        ("apply", {"sentence": "remove the cup"}),
    ],
)
def test_every_address_takes_a_right_request(client: Client, action: str, ask: dict) -> None:
    answer = client.post(action, ask)
    assert answer.status_code == 202, answer.text


def test_a_secret_that_lands_in_a_wrong_place_is_not_repeated(client: Client) -> None:
    answer = client.post("edit", {"find": "c", "paint": "a", "seed": "my password"})
    assert "password" not in answer.text


def test_bodies_of_other_kinds_are_refused(client: Client) -> None:
    post = client.http.post
    assert error(post("/v1/edit", content=b"x")) == (415, "media_type")
    assert error(post("/v1/edit", json=[1])) == (422, "invalid")
    deep = b'{"image": ' + b"[" * 100_000
    headers = {"content-type": "application/json"}
    assert error(post("/v1/edit", content=deep, headers=headers)) == (422, "invalid")
    request = (None, '{"find": "c"}')
    assert error(post("/v1/ground", files={"request": request})) == (422, "invalid")
    files = [("request", request), ("image", ("a.png", b"x")), ("image", ("b.png", b"x"))]
    assert error(post("/v1/ground", files=files)) == (422, "invalid")
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert error(post("/v1/ground", content=b"--y\r\n", headers=broken)) == (422, "invalid")
    assert error(client.http.get("/v1/edit")) == (405, "method")
    assert error(client.http.get("/v2")) == (404, "no_address")
    assert error(client.http.get("/v1/jobs/none")) == (404, "no_job")
    assert error(client.http.get("/v1/jobs/none?wait=x")) == (422, "invalid")


# Limits


def test_bytes_are_counted_as_they_come(make: Any) -> None:
    client = make(max_bytes=5000)
    assert error(client.post("ground", {"find": "c"}, bytes(6000))) == (413, "too_large")

    def body() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        for _ in range(100):
            yield bytes(1000)

    headers = {"content-type": "multipart/form-data; boundary=b"}  # and no length
    answer = client.http.post("/v1/ground", content=body(), headers=headers)
    assert error(answer) == (413, "too_large")
    long = {"image": "a.png", "find": "c" * 2_000_000}
    assert error(client.http.post("/v1/ground", json=long)) == (413, "too_large")


def test_pixels_are_counted_before_anything_is_decoded(make: Any, monkeypatch: Any) -> None:
    client = make(max_pixels=200)
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts
    )
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    answer = client.post("ground", {"find": "c"}, bomb)
    assert error(answer) == (422, "unprocessable")
    assert "60000x60000" in answer.json()["error"]["message"]
    monkeypatch.undo()
    assert client.post("ground", {"find": "c"}).status_code == 202
    assert error(client.post("extend", {"extend": {"right": 5000}})) == (422, "unprocessable")
    mask = encode_mask(np.ones((100, 100), bool))
    recipe = {"groundbrush": 1, "action": "edit", "paint": "a", "mask": mask}
    answer = client.post("run", recipe)
    assert error(answer) == (422, "unprocessable")
    assert "100x100" in answer.json()["error"]["message"]


def test_what_is_no_picture_is_refused_by_its_name(client: Client) -> None:
    for data in (b"text", b"", png(picture())[:60]):
        answer = client.post("ground", {"find": "c"}, data)
        assert error(answer) == (422, "unprocessable")
        assert "one.png" in answer.json()["error"]["message"]
        assert "/" not in answer.json()["error"]["message"].replace("and/or", "")


def test_a_full_line_says_when_to_come_back(make: Any) -> None:
    client = make(queue=2, queue_each=2)
    client.editor.gate.clear()
    taken = [client.post("ground", {"find": "the cup"}) for _ in range(2)]
    while client.http.get("/health").json()["running"] == 0:
        pass
    taken.append(client.post("ground", {"find": "the cup"}))
    assert [a.status_code for a in taken] == [202] * 3
    answer = client.post("ground", {"find": "the cup"})
    assert error(answer) == (429, "queue_full")
    assert int(answer.headers["retry-after"]) >= 1
    waiting = client.http.get(taken[2].headers["location"]).json()
    assert (waiting["state"], waiting["place"]) == ("waiting", 2)
    assert error(client.http.get(f"{taken[2].headers['location']}/files/mask.png"))[0] == 409
    client.editor.gate.set()
    assert [client.done(a)["state"] for a in taken] == ["done"] * 3
    assert client.post("ground", {"find": "the cup"}).status_code == 202


def test_results_are_kept_for_a_while_and_so_many(make: Any) -> None:
    client = make(keep=3, keep_seconds=100)
    jobs = []
    for _ in range(5):
        jobs.append(client.done(client.post("ground", {"find": "the cup"})))
        client.now += 10
    found = [client.http.get(f"/v1/jobs/{job['id']}").status_code for job in jobs]
    assert found == [404, 404, 200, 200, 200]
    assert len(list(Path(client.store._spool.name).iterdir())) == 3
    client.now += 85  # the third is 115 old, the fourth 105, the fifth 95
    found = [client.http.get(f"/v1/jobs/{job['id']}").status_code for job in jobs[2:]]
    assert found == [404, 404, 200]


def test_results_take_bounded_room_and_the_newest_stays(make: Any) -> None:
    client = make(keep_bytes=1)
    jobs = [client.done(client.post("ground", {"find": "the cup"})) for _ in range(2)]
    found = [client.http.get(f"/v1/jobs/{job['id']}").status_code for job in jobs]
    assert found == [404, 200]


# Stopping


def test_delete_stops_what_waits_at_once_and_what_runs_within_a_step(client: Client) -> None:
    client.editor.gate.clear()
    ask = {"find": "the cup", "paint": "a vase"}
    running, waiting = client.post("edit", ask), client.post("edit", ask)
    while client.http.get("/health").json()["running"] == 0:
        pass
    stopped = client.http.delete(waiting.headers["location"]).json()
    assert (stopped["state"], stopped["error"]["code"]) == ("cancelled", "cancelled")
    assert client.http.delete(running.headers["location"]).json()["state"] == "running"
    client.editor.gate.set()
    assert client.done(running)["state"] == "cancelled"
    assert client.editor.painted == []
    text = client.http.get("/metrics").text
    assert 'groundbrush_jobs_total{action="edit",state="cancelled"} 2.0' in text


def test_what_has_no_steps_is_stopped_at_its_end(client: Client) -> None:
    client.editor.gate.clear()
    answer = client.post("ground", {"find": "the cup"})
    while client.http.get("/health").json()["running"] == 0:
        pass
    client.http.delete(answer.headers["location"])
    client.editor.gate.set()
    assert client.done(answer)["state"] == "cancelled"


def test_delete_removes_a_result(client: Client) -> None:
    job = client.done(client.post("ground", {"find": "the cup"}))
    assert client.http.delete(f"/v1/jobs/{job['id']}").json()["state"] == "done"
    assert error(client.http.get(f"/v1/jobs/{job['id']}")) == (404, "no_job")
    assert list(Path(client.store._spool.name).iterdir()) == []


def test_closing_takes_no_more_and_lets_the_others_end(client: Client) -> None:
    client.editor.gate.clear()
    answer = client.post("ground", {"find": "the cup"})
    client.store.drain()
    refused = client.post("ground", {"find": "the cup"})
    assert error(refused) == (503, "closing")
    assert int(refused.headers["retry-after"]) >= 1
    health = client.http.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "closing")
    assert not client.store.drained()
    client.editor.gate.set()
    assert client.done(answer)["state"] == "done"
    assert client.store.drained()


# Who has access


def test_a_token_is_asked_for_where_there_is_one(make: Any) -> None:
    client = make(token=TOKEN)
    for given in (None, "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}"):
        headers = {} if given is None else {"Authorization": given}
        for path in ("/v1/jobs/x", "/metrics", "/openapi.json", "/nothing"):
            answer = client.http.get(path, headers=headers)
            assert error(answer) == (401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
    assert client.http.get("/health").status_code == 200
    client.http.headers["Authorization"] = f"bearer {TOKEN}"
    assert client.http.get("/metrics").status_code == 200
    assert client.done(client.post("ground", {"find": "the cup"}))["state"] == "done"
    assert client.http.get("/openapi.json").json()["security"] == [{"token": []}]


def test_pages_of_other_names_may_not_ask(client: Client) -> None:
    get = client.http.get
    assert error(get("/health", headers={"Host": "evil.example:80"})) == (400, "bad_host")
    assert error(get("/health", headers={"Origin": "https://evil.example"})) == (
        403,
        "cross_origin",
    )
    for origin in ("null", "http://["):
        assert error(get("/health", headers={"Origin": origin})) == (403, "cross_origin")
    assert get("/health", headers={"Origin": "http://testserver"}).status_code == 200
    answer = get("/health")
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"


# Pictures in the root


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "null", "//", "http://a]b", "\xff"])
def test_an_origin_that_cannot_be_read_is_refused(client: Client, origin: str) -> None:
    answer = client.http.get("/health", headers={"Origin": origin.encode("latin-1")})
    assert error(answer) == (403, "cross_origin")


def test_a_request_sent_again_under_its_key_is_one_job(make: Any) -> None:
    client = make(queue=2)
    client.editor.gate.clear()
    ask = {"find": "the cup", "paint": "a vase"}
    client.http.headers["Idempotency-Key"] = "first"
    first, again = client.post("edit", ask), client.post("edit", ask)
    assert first.status_code == again.status_code == 202
    assert first.json()["id"] == again.json()["id"]
    assert error(client.post("remove", {"find": "the cup"})) == (422, "unprocessable")
    assert error(client.post("edit", {**ask, "seed": 1})) == (422, "unprocessable")
    assert error(client.post("edit", {"find": "the cup"})) == (422, "invalid")
    client.http.headers["Idempotency-Key"] = "second"
    other = client.post("edit", ask).json()["id"]
    del client.http.headers["Idempotency-Key"]
    client.editor.gate.set()
    third = client.done(client.post("edit", ask))["id"]
    listed = client.http.get("/v1/jobs").json()["jobs"]
    assert {job["id"] for job in listed} == {first.json()["id"], other, third}
    assert len(client.editor.painted) == 3


def test_ready_is_not_alive(make: Any) -> None:
    client = make(queue=1, queue_each=1, token=TOKEN)
    assert client.http.get("/ready").status_code == 200  # without the token
    client.http.headers["Authorization"] = f"Bearer {TOKEN}"
    client.editor.gate.clear()
    running = client.post("ground", {"find": "the cup"})
    deadline = time.monotonic() + 20
    while client.http.get(running.headers["location"]).json()["state"] == "waiting":
        assert time.monotonic() < deadline
    client.post("ground", {"find": "the cup"})
    assert client.http.get("/ready").status_code == 429
    assert client.http.get("/health").status_code == 200
    client.store.drain()
    assert client.http.get("/ready").status_code == 503


def test_events_end_with_the_job(client: Client) -> None:
    client.editor.gate.clear()
    answer = client.post("edit", {"find": "the cup", "paint": "a vase"})
    threading.Timer(0.5, client.editor.gate.set).start()
    events = client.http.get(f"{answer.headers['location']}/events")
    assert events.headers["content-type"].startswith("text/event-stream")
    seen = [one.split("\n") for one in events.text.strip().split("\n\n")]
    assert {name for name, _ in seen[:-1]} == {"event: progress"}
    assert seen[-1][0] == "event: done"
    last = json.loads(seen[-1][1].removeprefix("data: "))
    assert last == client.http.get(answer.headers["location"]).json()
    assert error(client.http.get("/v1/jobs/none/events")) == (404, "no_job")


def test_a_job_that_takes_too_long_fails(make: Any) -> None:
    client = make(job_seconds=1000)
    client.editor.step_seconds = 0.3
    ask = {"find": "the cup", "paint": "a vase"}
    client.http.params = {"timeout": 0.2}
    late = client.post("edit", ask)
    client.http.params = {}
    job = client.done(late)
    assert (job["state"], job["error"]["code"]) == ("failed", "failed")
    assert "longer than 0.2 seconds" in job["error"]["message"]
    assert client.editor.painted == []
    assert client.done(client.post("edit", ask))["state"] == "done"  # the next has its own time
    short = make(job_seconds=0.2)
    short.editor.step_seconds = 0.3
    short.http.params = {"timeout": 100}  # a client cannot allow itself more than the server does
    late = short.post("edit", ask)
    short.http.params = {}
    assert "longer than 0.2 seconds" in short.done(late)["error"]["message"]


class Hook(BaseHTTPRequestHandler):
    """Takes webhooks; refuses the first, and redirects those to /away."""

    got: ClassVar[list[tuple[str, str | None, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, self.headers["X-Groundbrush-Signature"], body))
        if self.path == "/drip":
            self.drip()
            return
        self.send_response(307 if self.path == "/away" else 500 if len(self.got) == 1 else 204)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def drip(self) -> None:
        """Answer a letter at a time, for as long as that is read."""
        try:
            for _ in range(60):
                self.wfile.write(b"H")
                time.sleep(0.1)
        except OSError:
            self.got.append(("cut off", None, b""))

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hooks() -> Iterator[str]:
    """The origin of a server of webhooks."""
    Hook.got.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_repeated_request_posts_its_webhook_once(make: Any, hooks: str) -> None:
    Hook.got.append(("refused", None, b""))
    client = make(webhooks=(hooks,))
    with client.http:
        client.http.params = {"webhook": f"{hooks}/done"}
        client.http.headers["Idempotency-Key"] = "one"
        for _ in range(3):
            assert client.post("ground", {"find": "the cup"}).status_code == 202
        deadline = time.monotonic() + 20
        while client.app.state.notifying and time.monotonic() < deadline:
            client.http.get("/health")
    assert [path for path, *_ in Hook.got[1:]] == ["/done"]


def test_a_slow_receiver_of_webhooks_is_cut_off(hooks: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(webhook, "_SECONDS", 0.3)
    with pytest.raises((OSError, HTTPException)):
        webhook._post(urlsplit(f"{hooks}/drip"), b"{}", None)
    deadline = time.monotonic() + 20
    while len(Hook.got) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert Hook.got[1][0] == "cut off"


@pytest.mark.parametrize(
    "origin",
    [
        "https://",
        "https://[",
        "http://a:99999",
        "https://a/",
        "ftp://a",
        "HTTPS://a",
        "https://a?b",
    ],
)
def test_an_origin_that_is_none_is_refused(origin: str) -> None:
    with pytest.raises(GroundbrushError, match="expected a scheme and a name in lower"):
        ServeSettings(webhooks=(origin,))


def test_a_webhook_is_posted_where_the_server_allows_it(make: Any, hooks: str) -> None:
    client = make(webhooks=(hooks,), token=TOKEN)
    client.http.headers["Authorization"] = f"Bearer {TOKEN}"
    with client.http:  # one event loop for all requests
        for url in (
            "http://127.0.0.1:1/x",
            f"{hooks}@evil.example/",
            f"{hooks}.evil.example/",
            hooks.replace("http", "file"),
            "http://[",
            f"{hooks}/a b",
        ):
            client.http.params = {"webhook": url}
            refused = client.post("ground", {"find": "the cup"})
            assert error(refused) == (403, "webhook")
        for path in ("/done?of=1", "/away"):
            client.http.params = {"webhook": f"{hooks}{path}"}
            answer = client.post("ground", {"find": "the cup"})
            client.http.params = {}
            job = client.done(answer)
            deadline = time.monotonic() + 20
            while client.app.state.notifying and time.monotonic() < deadline:
                client.http.get("/health")
                if path == "/away" and Hook.got[-1][0] == path:
                    break
            if path != "/away":
                sent = Hook.got[-1]
                assert [one[0] for one in Hook.got] == ["/done?of=1"] * 2
                assert json.loads(sent[2]) == job
                key = hmac.new(TOKEN.encode(), sent[2], hashlib.sha256).hexdigest()
                assert sent[1] == f"sha256={key}"
    assert not any(one[0] == "/elsewhere" for one in Hook.got)


def test_the_models_are_named_without_their_folders(client: Client) -> None:
    models = client.http.get("/v1/models").json()
    assert models["preset"] == "fake" and models["settings"]["steps"] == 30
    assert {one["role"]: one["name"] for one in models["models"]} == {
        "finder": "a",
        "segmenter": "b",
        "inpainter": "c",
    }
    for given, name in {
        "/home/me/sd": "sd",
        "bundled:lvlm": "lvlm",
        "org/model": "org/model",
        "./models/sd": "sd",
        "C:\\me\\sd": "sd",
    }.items():
        assert served_model("inpainter", {"path": given}).name == name


def test_head_is_get_without_a_body(client: Client) -> None:
    job = client.done(client.post("edit", {"find": "the cup", "paint": "a vase"}))
    files = [one["href"] for one in job["result"]["files"]]
    for path in ("/health", "/metrics", f"/v1/jobs/{job['id']}", "/openapi.json", *files):
        got, head = client.http.get(path), client.http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
    assert client.http.head("/v1/jobs/none").status_code == 404
    assert client.http.head("/v1/edit").status_code == 405


@pytest.fixture
def rooted(make: Any, tmp_path: Path) -> tuple[Client, Path]:
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    (root / "in" / "one.png").write_bytes(png(picture()))
    (tmp_path / "outside.png").write_bytes(png(picture()))
    (root / "out.png").symlink_to(tmp_path / "outside.png")
    (root / "away").symlink_to(tmp_path)
    (root / "near.png").symlink_to(root / "in" / "one.png")
    (root / "text.png").write_text("text")
    return make(root=root), root


def test_a_picture_in_the_root_is_named_by_its_path(rooted: tuple[Client, Path]) -> None:
    client, root = rooted
    ask = {"find": "the cup", "paint": "a vase"}
    by_path = client.done(client.http.post("/v1/edit", json={"image": "in/one.png", **ask}))
    by_upload = client.done(client.post("edit", ask, (root / "in/one.png").read_bytes()))
    assert by_path["result"]["edits"][0]["recipe"]["image"]["path"] == "in/one.png"
    first, second = (
        np.asarray(Image.open(io.BytesIO(client.file(job, "result.png"))))
        for job in (by_path, by_upload)
    )
    assert (first == second).all()
    link = client.http.post("/v1/edit", json={"image": "near.png", **ask})
    assert client.done(link)["state"] == "done"


@pytest.mark.parametrize(
    "path",
    [
        "../outside.png",
        "in/../../outside.png",
        "out.png",
        "away/outside.png",
        "/etc/passwd",
        "in/../in/one.png",
        "C:\\a.png",
        "..\\outside.png",
        "\\\\host\\a.png",
        "https://a/b.png",
        "a\x00b",
        "{root}/in/one.png",
    ],
)
def test_no_path_leads_out_of_the_root(rooted: tuple[Client, Path], path: str) -> None:
    client, root = rooted
    given = path.replace("{root}", str(root))
    answer = client.http.post("/v1/ground", json={"image": given, "find": "the cup"})
    assert error(answer) == (403, "outside_root")
    if "{root}" not in path:
        assert str(root) not in answer.text
    body = {"image": "in/one.png", "mask": given, "paint": "a"}
    assert error(client.http.post("/v1/edit", json=body)) == (403, "outside_root")


def test_what_is_not_there_or_no_picture(rooted: tuple[Client, Path]) -> None:
    client, root = rooted
    for path in ("in/two.png", "in", "."):
        answer = client.http.post("/v1/ground", json={"image": path, "find": "the cup"})
        assert error(answer) == (404, "no_picture")
        assert str(root) not in answer.text
    answer = client.http.post("/v1/ground", json={"image": "text.png", "find": "the cup"})
    assert error(answer) == (422, "unprocessable")


def test_without_a_root_no_file_is_read(client: Client) -> None:
    answer = client.http.post("/v1/ground", json={"image": "a.png", "find": "the cup"})
    assert error(answer) == (403, "no_root")


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b\\c.png", "\x01<script>", "", "." * 300])
def test_an_uploads_name_leads_nowhere(client: Client, name: str) -> None:
    body = {"request": (None, '{"find": "the cup"}'), "image": (name or "x", png(picture()))}
    job = client.done(client.http.post("/v1/ground", files=body))
    assert job["state"] == "done"
    inside = Path(client.store._spool.name)
    assert {path.name for path in inside.rglob("*") if path.is_file()} == {"mask.png"}


def test_the_metrics_are_prometheus_text(client: Client) -> None:
    client.done(client.post("ground", {"find": "the cup"}))
    client.http.request("BREW", "/health")
    answer = client.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert 'groundbrush_jobs_total{action="ground",state="done"} 1.0' in lines
    assert 'groundbrush_job_seconds_count{action="ground"} 1.0' in lines
    posted = 'groundbrush_http_requests_total{method="POST",route="/v1/ground",status="202"} 1.0'
    assert posted in lines
    assert any('method="other"' in line for line in lines)
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert all(float(value) >= 0 for value in values.values())
    names = {line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")}
    typed = {line.split(" ")[2] for line in lines if line.startswith("# TYPE")}
    assert {n.removesuffix("_sum").removesuffix("_count") for n in names} == typed
