"""The routes of the HTTP API. Heavy work runs in threads, never on the event loop."""

# No `from __future__ import annotations`: FastAPI reads the annotations of routes.
import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, FastAPI, Header, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from ...editor import __version__
from ...editor.errors import GroundbrushError
from .actions import JobSpec
from .bodies import BODIES
from .errors import ApiError, add_error_handlers
from .job_store import JobRecord, JobStore
from .metrics import CONTENT_TYPE
from .middleware import AccessMiddleware
from .openapi import DESCRIPTION, FILE_RESPONSE, DocumentedAPI, error_responses, job_route
from .reading import JobRequest, discard, read_request
from .schema import Health, JobList, JobStatus
from .settings import ServeSettings
from .stored_images import store_image

if TYPE_CHECKING:
    from ...editor.api import Editor

MAX_WAIT = 30.0
_POLL_SECONDS = 0.05
_SWEEP_SECONDS = 30.0
_CHUNK = 1 << 20
router = APIRouter()


def create_app(
    editor: "Editor", settings: ServeSettings, clock: Callable[[], float] = time.time
) -> FastAPI:
    """The ASGI application over one editor.

    Parameters
    ----------
    editor
        Its models load when first needed, or before.
    settings
        Limits and permissions.
    clock
        Seconds since 1970.

    Returns
    -------
    fastapi.FastAPI
        ``app.state.store`` is its `app.http.job_store.JobStore`, which the caller must close.
    """
    store = JobStore(editor, settings, clock)
    app = DocumentedAPI(
        title="Groundbrush",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=_sweep_regularly,
    )
    app.state.store = store
    app.state.decoding = asyncio.Semaphore(settings.uploads)
    app.add_middleware(AccessMiddleware, settings=settings, metrics=store.metrics)
    add_error_handlers(app)
    for action, model in BODIES.items():
        app.add_api_route(
            f"/v1/{action}",
            _submit_route(action),
            methods=["POST"],
            status_code=202,
            response_model=JobStatus,
            operation_id=action,
            description=model.__doc__,
            tags=["jobs"],
            **job_route(action),
        )
    app.include_router(router)
    return app


@asynccontextmanager
async def _sweep_regularly(app: FastAPI) -> AsyncIterator[None]:
    """Remove old results also while no requests come."""

    async def sweep() -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            await run_in_threadpool(app.state.store.sweep)

    sweeper = asyncio.create_task(sweep())
    try:
        yield
    finally:
        sweeper.cancel()


def _submit_route(action: str) -> Callable[..., Awaitable[JobStatus]]:
    async def submit(
        request: Request,
        response: Response,
        idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
    ) -> JobStatus:
        store: JobStore = request.app.state.store
        owner = _owner(request)
        try:
            known = store.known(owner, action, idempotency_key)
            if known is None:
                store.check_capacity()
        except ApiError:
            await discard(request, store.settings)
            raise
        if known is not None:  # the answer was lost, and the request sent again
            await discard(request, store.settings)
            response.headers["Location"] = f"/v1/jobs/{known.id}"
            return store.status(known)
        async with (
            read_request(request, action, store.settings) as job_request,
            # for whole requests only: a slow client would keep others waiting; each image takes
            # memory while it is decoded
            request.app.state.decoding,
        ):
            record = await run_in_threadpool(_submit, store, owner, job_request, idempotency_key)
        response.headers["Location"] = f"/v1/jobs/{record.id}"
        return store.status(record)

    return submit


def _owner(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _submit(store: JobStore, owner: str, request: JobRequest, key: str | None) -> JobRecord:
    """Store and check the images, then queue the job. Runs in a thread."""
    folder = store.new_folder()
    settings = store.settings
    try:
        image = store_image(request.image, folder / "image", settings)
        mask = None
        if request.mask is not None:
            mask = store_image(request.mask, folder / "mask", settings)
        try:
            spec = JobSpec.read(
                store.editor, request.action, request.values, mask is not None, settings.max_pixels
            )
            if mask is not None:
                mask.open(settings.max_pixels)
            size = image.open(settings.max_pixels).size
            spec.check_size(size, settings.max_pixels)
        except GroundbrushError as error:
            raise ApiError(422, "unprocessable", str(error)) from error
        return store.submit(owner, spec, folder, image, mask, key)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@router.get("/v1/jobs", operation_id="list_jobs", tags=["jobs"], responses=error_responses())
def _list_jobs(request: Request) -> JobList:
    """The jobs of the client's address that are kept, the newest first."""
    store: JobStore = request.app.state.store
    store.sweep()
    return JobList(jobs=[store.status(record) for record in store.jobs(_owner(request))])


@router.get(
    "/v1/jobs/{job_id}", operation_id="get_job", tags=["jobs"], responses=error_responses(404, 422)
)
async def _get_job(
    request: Request,
    job_id: str,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT, description="seconds to wait for its end")] = 0,
) -> JobStatus:
    """A job's progress, and its result when it is done."""
    store: JobStore = request.app.state.store
    record = store.get(job_id)
    deadline = time.monotonic() + wait
    while not record.over and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
    return store.status(record)


@router.delete(
    "/v1/jobs/{job_id}", operation_id="delete_job", tags=["jobs"], responses=error_responses(404)
)
async def _delete_job(request: Request, job_id: str) -> JobStatus:
    """Stop a job, at once or within a step; remove the result of one that has ended."""
    store: JobStore = request.app.state.store
    record = store.get(job_id)
    before = store.status(record)
    store.cancel(record)
    return before if before.finished else store.status(record)


@router.get(
    "/v1/jobs/{job_id}/files/{name}",
    operation_id="get_file",
    tags=["jobs"],
    response_class=Response,
    responses={200: FILE_RESPONSE, **error_responses(404, 409)},
)
async def _get_file(request: Request, job_id: str, name: str) -> StreamingResponse:
    """A file of a result."""
    store: JobStore = request.app.state.store
    path, info = store.file(store.get(job_id), name)
    try:  # opened before the answer begins, since it may be removed meanwhile
        file = await run_in_threadpool(path.open, "rb")
    except OSError:
        raise ApiError(404, "no_file", "the result was removed meanwhile") from None
    return StreamingResponse(
        iter(partial(file.read, _CHUNK), b""),
        media_type=info.media_type,
        headers={"Content-Length": str(info.bytes)},
        background=BackgroundTask(file.close),
    )


@router.get(
    "/health",
    tags=["server"],
    responses={503: {"model": Health, "description": "The server is closing."}},
)
async def _health(request: Request, response: Response) -> Health:
    """Whether the server takes jobs; needs no token."""
    store: JobStore = request.app.state.store
    counts = store.counts()
    response.status_code = 503 if store.closing else 200
    return Health(
        status="closing" if store.closing else "ok",
        version=__version__,
        preset=store.editor.preset.name,
        waiting=counts["waiting"],
        running=counts["running"],
    )


@router.get("/ready", tags=["server"], responses=error_responses(429, 503))
async def _ready(request: Request) -> Health:
    """Whether a job would be taken now: 503 while closing, 429 while the queue is full."""
    request.app.state.store.check_capacity()
    return await _health(request, Response())


@router.get(
    "/metrics", response_class=PlainTextResponse, responses=error_responses(), tags=["server"]
)
def _metrics(request: Request) -> Any:
    """Metrics for Prometheus."""
    store: JobStore = request.app.state.store
    store.sweep()
    return Response(store.metrics.text(), media_type=CONTENT_TYPE)
