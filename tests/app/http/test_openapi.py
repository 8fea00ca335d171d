"""The server answers as its OpenAPI document says, whatever the request.

GROUNDBRUSH_SCHEMATHESIS=1 sends two thousand requests more: all that Schemathesis derives from the
document, and more examples.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from groundbrush.app.http import ServeSettings, create_app, job_store
from groundbrush.app.http.schema import JobResult
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from PIL import Image
from quick_editor import QuickEditor

schemathesis = pytest.importorskip(
    "schemathesis", reason="schemathesis is not installed: pip install -e '.[dev]'"
)
from schemathesis import checks  # noqa: E402
from schemathesis.generation import GenerationMode  # noqa: E402
from schemathesis.generation.meta import TestPhase  # noqa: E402


def _png(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "PNG")
    return buffer.getvalue()


for kind in ("image/png", "image/jpeg", "image/webp"):
    schemathesis.openapi.media_type(kind, st.just(_png((16, 12))))


ROOT = Path(__file__).resolve().parents[3]
APP = create_app(QuickEditor(), ServeSettings(hosts=("*",), queue=1000, queue_each=1000))
LONG = bool(os.environ.get("GROUNDBRUSH_SCHEMATHESIS"))
CONFIG = schemathesis.Config.from_dict({"phases": {"coverage": {"enabled": LONG}}})
served = schemathesis.openapi.from_asgi("/openapi.json", APP, config=CONFIG)


@pytest.fixture(scope="module", autouse=True)
def undone() -> Iterator[None]:
    """Jobs' results are not requested here, and hundreds of them would take long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_store, "run_job", lambda *_: JobResult(files=[]))
        yield
    APP.state.store.close()


def test_the_reference_page_follows_the_document(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import build

    page = build.http_page(APP.openapi())
    assert build.HTTP.read_text("utf-8") == page, "run `make docs`"
    assert "| `retries` | integer, 0 to 16 | `3` |  |" in page.partition("## RemoveBody")[2]


@served.parametrize()
@settings(
    max_examples=100 if LONG else 14,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_the_document_has(case) -> None:
    answer = case.call_and_validate(excluded_checks=[checks.positive_data_acceptance])
    # In its place: what fits the document is never refused as "invalid", only as "unprocessable"
    # for what no schema can say, such as x0 < x1. (Its coverage phase sends an empty `request`.)
    made = case.meta.generation.mode, case.meta.phase.name
    if made == (GenerationMode.POSITIVE, TestPhase.FUZZING) and answer.status_code == 422:
        assert answer.json()["error"]["code"] == "unprocessable", answer.text
