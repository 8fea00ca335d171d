"""The addresses: each reads, asks the desk and answers. Heavy work is never done on the loop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import Match

from ...editor import __version__
from ...editor.errors import GroundbrushError
from .body import Asked, discard, read_body
from .job_store import Clock, Desk, Record
from .middleware import Door
from .monitoring import CONTENT_TYPE
from .openapi import DESCRIPTION, FILE, document, posted, problems
from .refusal import Refusal
from .schema import ASKS, Health, Job
from .settings import ServeSettings
from .uploads import Kept, keep_from_root, keep_upload
from .work import Order

if TYPE_CHECKING:
    from ...editor.api import Editor

LONGEST_WAIT = 30.0
_EVERY = 0.05  # seconds between looks at a job that a client waits for
_SWEEP = 30.0
_CHUNK = 1 << 20
Handler = Callable[[Request], Awaitable[Response]]


def create_app(editor: Editor, settings: ServeSettings, clock: Clock | None = None) -> FastAPI:
    """The ASGI application over one editor.

    Parameters
    ----------
    editor
        With its models, which load when first needed, or before.
    settings
        Limits and permissions.
    clock
        Seconds since 1970; a test's own.

    Returns
    -------
    fastapi.FastAPI
        ``app.page.state.desk`` is its `app.http.job_store.Desk`, which whoever serves must close.
    """
    desk = Desk(editor, settings, **({"clock": clock} if clock else {}))
    app = FastAPI(
        title="Groundbrush",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=functools.partial(_lifespan, desk),
    )
    app.state.desk = desk
    app.state.reading = asyncio.Semaphore(settings.uploads)
    app.add_middleware(Door, settings=settings, metrics=desk.metrics)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _bad_parameter)
    app.add_exception_handler(Exception, _failed)
    for action in ASKS:
        app.add_api_route(f"/v1/{action}", _taker(action), methods=["POST"], **posted(action))
    _add_reading(app)
    app.openapi = lambda: document(app, settings)  # type: ignore[method-assign]
    return app


@contextlib.asynccontextmanager
async def _lifespan(desk: Desk, app: FastAPI) -> AsyncIterator[None]:
    """Sweep now and then, so that results go when nobody asks as well."""

    async def sweeping() -> None:
        while True:
            await asyncio.sleep(_SWEEP)
            await run_in_threadpool(desk.sweep)

    sweeper = asyncio.create_task(sweeping())
    try:
        yield
    finally:
        sweeper.cancel()


def _add_reading(app: FastAPI) -> None:
    """What is asked about jobs, and about the server."""
    job: dict[str, Any] = {"response_model": Job, "tags": ["jobs"]}
    app.add_api_route(
        "/v1/jobs/{job_id}",
        _get_job,
        methods=["GET"],
        operation_id="get_job",
        responses=problems("404", "422"),
        **job,
    )
    app.add_api_route(
        "/v1/jobs/{job_id}",
        _delete_job,
        methods=["DELETE"],
        operation_id="delete_job",
        responses=problems("404"),
        **job,
    )
    app.add_api_route(
        "/v1/jobs/{job_id}/files/{name}",
        _get_file,
        methods=["GET"],
        operation_id="get_file",
        tags=["jobs"],
        response_class=Response,
        responses={**FILE, **problems("404", "409")},
    )
    app.add_api_route(
        "/health",
        _health,
        methods=["GET"],
        response_model=Health,
        tags=["server"],
        responses={503: {"model": Health, "description": "It closes."}},
    )
    app.add_api_route(
        "/metrics",
        _metrics,
        methods=["GET"],
        response_class=PlainTextResponse,
        responses=problems(),
        tags=["server"],
    )


# ---------------------------------------------------------------------- taking jobs


def _taker(action: str) -> Handler:
    """The address that takes one kind of job."""

    async def take(request: Request) -> Response:
        app = request.app
        desk: Desk = app.state.desk
        try:
            desk.check_room()
        except Refusal:
            await discard(request, desk.settings)
            raise
        async with app.state.reading:
            asked = await read_body(request, action, desk.settings)
            try:
                record = await run_in_threadpool(_submit, desk, _owner(request), asked)
            finally:
                for upload in filter(None, (asked.image, asked.mask)):
                    await upload.close()
        return _told(desk.view(record), 202, {"Location": f"/v1/jobs/{record.id}"})

    take.__doc__ = ASKS[action].__doc__
    return take


def _submit(desk: Desk, owner: str, asked: Asked) -> Record:
    """Put the pictures aside, look at them, and put the job in line. In a thread of its own."""
    folder = desk.folder()
    try:
        values = dict(asked.values)
        kept: list[Kept | None] = []
        for name, upload in (("image", asked.image), ("mask", asked.mask)):
            given, file = values.pop(name, None), folder / name
            if upload is not None:
                kept.append(keep_upload(upload, file))
            elif given is not None:
                kept.append(keep_from_root(given, file, desk.settings))
            else:
                kept.append(None)
        image, mask = kept
        assert image is not None
        try:
            most = desk.settings.max_pixels
            order = Order.read(desk.editor, asked.action, values, mask is not None, most)
            for one in filter(None, (mask, image)):
                picture = one.open(desk.settings)  # told now, not when its turn comes
            order.check_size(picture.size, most)
        except GroundbrushError as error:
            raise Refusal(422, "unprocessable", str(error)) from error
        return desk.submit(owner, order, folder, image, mask)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _owner(request: Request) -> str:
    """Whose turn it takes: the address that asks."""
    return request.client.host if request.client else "unknown"


# ---------------------------------------------------------------------- reading


async def _get_job(
    request: Request,
    job_id: str,
    wait: Annotated[
        float, Query(ge=0, le=LONGEST_WAIT, description="seconds to wait for its end")
    ] = 0.0,
) -> Response:
    """How far a job is, and what it came to."""
    desk: Desk = request.app.state.desk
    record = desk.get(job_id)
    loop = asyncio.get_running_loop()
    until = loop.time() + wait
    while record.job is not None and not record.job.over and loop.time() < until:
        await asyncio.sleep(_EVERY)
    return _told(desk.view(record))


async def _delete_job(request: Request, job_id: str) -> Response:
    """Stop a job, at once or within a step; of one that has ended, remove the result."""
    desk: Desk = request.app.state.desk
    record = desk.get(job_id)
    view = desk.view(record)
    desk.cancel(record)
    return _told(view if view["finished"] else desk.view(record))


def _told(view: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Any:
    """A job as its model has it, every name there."""
    return JSONResponse(Job.model_validate(view).model_dump(), status, headers)


async def _get_file(request: Request, job_id: str, name: str) -> Response:
    """A file of a result."""
    desk: Desk = request.app.state.desk
    path, about = desk.file(desk.get(job_id), name)
    try:
        # opened before the answer begins: it may be removed meanwhile, and is then still read
        body = await run_in_threadpool(_chunks, path)
    except OSError:
        raise Refusal(404, "no_file", "the result was removed meanwhile") from None
    return StreamingResponse(
        body, media_type=about["media_type"], headers={"Content-Length": str(about["bytes"])}
    )


def _chunks(path: Path) -> Any:
    file = path.open("rb")

    def read() -> Any:
        with file:
            while part := file.read(_CHUNK):
                yield part

    return read()


async def _health(request: Request) -> Response:
    """Whether it takes work; needs no token."""
    desk: Desk = request.app.state.desk
    counts = desk.counts()
    told = Health(
        status="closing" if desk.closing else "ok",
        version=__version__,
        preset=desk.editor.preset.name,
        waiting=counts["waiting"],
        running=counts["running"],
    )
    return JSONResponse(told.model_dump(), 503 if desk.closing else 200)


async def _metrics(request: Request) -> Response:
    """Counters for Prometheus."""
    return Response(request.app.state.desk.metrics_text(), media_type=CONTENT_TYPE)


# ---------------------------------------------------------------------- errors


async def _refused(request: Request, error: Any) -> Response:
    return Response(error.raw, error.status, error.headers, "application/json")


async def _http_error(request: Request, error: Any) -> Response:
    code = {404: "no_address", 405: "method"}.get(error.status_code, "http")
    words = f"{request.method} {request.url.path!a}: {error.detail}; /openapi.json lists all"
    headers = dict(error.headers or {})
    if error.status_code == 405:  # Starlette names only those of the first route that fits
        fitting = [r for r in request.app.routes if r.matches(request.scope)[0] is not Match.NONE]
        headers["Allow"] = ", ".join(sorted({m for r in fitting for m in r.methods}))
    return await _refused(request, Refusal(error.status_code, code, words, headers))


async def _bad_parameter(request: Request, error: Any) -> Response:
    details = [
        {"where": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in error.errors()
    ]
    words = f"{details[0]['where']}: {details[0]['message']}"
    return await _refused(request, Refusal(422, "invalid", words, details=details))


async def _failed(request: Request, error: Any) -> Response:
    words = "the server failed; its log says more; please report this"
    return await _refused(request, Refusal(500, "internal", words))
