"""The routes of the HTTP API. Heavy work runs in threads, never on the event loop."""

# No `from __future__ import annotations`: FastAPI reads the annotations of routes.
import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from ...editor import __version__
from ...editor.api import Editor
from ...editor.errors import GroundbrushError
from ...editor.masks.source import encode_mask, read_mask
from .actions import JobSpec, check_job
from .bodies import BODIES
from .errors import ApiError, add_error_handlers
from .job_store import JobRecord, JobStore
from .metrics import CONTENT_TYPE
from .middleware import AccessMiddleware
from .openapi import (
    DESCRIPTION,
    EVENTS_RESPONSE,
    FILE_RESPONSE,
    DocumentedAPI,
    error_responses,
    job_route,
)
from .reading import JobRequest, discard, read_request
from .schema import Health, JobList, JobStatus, ServedModel, ServedModels
from .settings import ServeSettings
from .stored_images import store_image
from .webhook import check_webhook, notify

MAX_WAIT = 30.0
_POLL_SECONDS = 0.05
_EVENT_SECONDS = 0.2
_KEEP_ALIVE_SECONDS = 15.0
_SWEEP_SECONDS = 30.0
_CHUNK = 1 << 20
router = APIRouter()


def create_app(
    editor: Editor, settings: ServeSettings, clock: Callable[[], float] = time.time
) -> FastAPI:
    """The ASGI application over one editor; models load when first needed, or before.

    `clock` gives seconds since 1970. ``app.state.store`` is its `app.http.job_store.JobStore`,
    which the caller must close.
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
    app.state.notifying = set[asyncio.Task[None]]()  # or the tasks would be collected
    app.add_middleware(AccessMiddleware, settings=settings, metrics=store.metrics)
    add_error_handlers(app)
    for action, models in BODIES.items():
        repeat = "Do an edit again from its recipe, and those before it, on the same picture."
        app.add_api_route(
            f"/v1/{action}",
            _submit_route(action),
            methods=["POST"],
            status_code=202,
            response_model=JobStatus,
            operation_id=action,
            description=next(iter(models.values())).__doc__ if len(models) == 1 else repeat,
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


async def _store(request: Request) -> JobStore:
    store: JobStore = request.app.state.store
    return store


Store = Annotated[JobStore, Depends(_store)]


async def _record(store: Store, job_id: str) -> JobRecord:
    return store.get(job_id)


Record = Annotated[JobRecord, Depends(_record)]


def _submit_route(action: str) -> Callable[..., Awaitable[JobStatus]]:
    async def submit(
        request: Request,
        response: Response,
        store: Store,
        idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
        timeout: Annotated[
            float | None, Query(gt=0, le=1e6, description="seconds that the job may run")
        ] = None,
        webhook: Annotated[
            str | None,
            Query(max_length=2000, description="address that gets the job's JSON at its end"),
        ] = None,
    ) -> JobStatus:
        owner = _owner(request)
        try:
            if webhook is not None:
                check_webhook(webhook, store.settings)
            # the same request again, since its answer was lost, is answered while the queue is full
            if store.known(owner, action, idempotency_key) is None:
                store.check_capacity()
        except ApiError:
            await discard(request, store.settings)
            raise
        async with (
            read_request(request, action, store.settings) as job_request,
            # for whole requests only: a slow client would keep others waiting; each image takes
            # memory while it is decoded
            request.app.state.decoding,
        ):
            work = partial(_submit, store, owner, job_request, idempotency_key, timeout)
            record = await run_in_threadpool(work)
        if webhook is not None and webhook not in record.webhooks:
            record.webhooks.add(webhook)  # once, however often the request is sent
            notifying = request.app.state.notifying
            task = asyncio.create_task(notify(webhook, store, record))
            notifying.add(task)
            task.add_done_callback(notifying.discard)
        response.headers["Location"] = f"/v1/jobs/{record.id}"
        return store.status(record)

    return submit


def _owner(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _submit(
    store: JobStore, owner: str, request: JobRequest, key: str | None, seconds: float | None
) -> JobRecord:
    """Store and check the images, then queue the job. Runs in a thread."""
    folder = store.new_folder()
    settings = store.settings
    try:
        image = store_image(request.image, folder / "image", settings)
        mask = None
        if request.mask is not None:
            mask = store_image(request.mask, folder / "mask", settings)
        try:
            size = image.open(settings.max_pixels).size
            body, notes = request.body, ()
            if mask is not None:
                marked, notes = read_mask(mask.open(settings.max_pixels), size)
                body = body.model_copy(update={"mask": encode_mask(marked)})
            check_job(store.editor, body, size, settings.max_pixels)
        except GroundbrushError as error:
            raise ApiError(422, "unprocessable", str(error)) from error
        spec = JobSpec(request.action, body, notes)
        return store.submit(owner, spec, folder, image, key, seconds)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@router.get("/v1/jobs", operation_id="list_jobs", tags=["jobs"], responses=error_responses())
def _list_jobs(request: Request, store: Store) -> JobList:
    """The jobs of the client's address that are kept, the newest first."""
    store.sweep()
    return JobList(jobs=[store.status(record) for record in store.jobs(_owner(request))])


@router.get(
    "/v1/jobs/{job_id}", operation_id="get_job", tags=["jobs"], responses=error_responses(404, 422)
)
async def _get_job(
    store: Store,
    job_id: str,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT, description="seconds to wait for its end")] = 0,
) -> JobStatus:
    """A job's progress, and its result when it is done."""
    record = store.get(job_id)
    deadline = time.monotonic() + wait
    while not record.over and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
    return store.status(record)


@router.get(
    "/v1/jobs/{job_id}/events",
    operation_id="get_events",
    tags=["jobs"],
    response_class=StreamingResponse,
    responses={200: EVENTS_RESPONSE, **error_responses(404)},
)
async def _get_events(store: Store, record: Record) -> StreamingResponse:
    """A job's progress as server-sent events, until it ends."""
    headers = {"X-Accel-Buffering": "no"}  # nginx would hold events back
    events = _events(store, record)
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def _events(store: JobStore, record: JobRecord) -> AsyncIterator[str]:
    """An event ``progress`` for every change, then one named after the last state."""
    last, quiet = "", time.monotonic()
    while True:
        status = store.status(record)
        text = status.model_dump_json()
        if text != last:
            name = "progress" if status.state in ("waiting", "running") else status.state
            yield f"event: {name}\ndata: {text}\n\n"
            last, quiet = text, time.monotonic()
            if name != "progress":
                return
        elif time.monotonic() - quiet > _KEEP_ALIVE_SECONDS:
            yield ": still there\n\n"
            quiet = time.monotonic()
        await asyncio.sleep(_EVENT_SECONDS)


@router.delete(
    "/v1/jobs/{job_id}", operation_id="delete_job", tags=["jobs"], responses=error_responses(404)
)
async def _delete_job(store: Store, record: Record) -> JobStatus:
    """Stop a job, at once or within a step; remove the result of one that has ended."""
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
async def _get_file(store: Store, record: Record, name: str) -> StreamingResponse:
    """A file of a result."""
    path, info = store.file(record, name)
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


@router.get("/v1/models", operation_id="list_models", tags=["server"], responses=error_responses())
async def _models(store: Store) -> ServedModels:
    """The models of the server's preset, and its settings of a painting."""
    models, preset = store.editor.models, store.editor.preset
    parts = {"finder": getattr(preset, preset.finder)} | {
        name: getattr(preset, name) for name in ("segmenter", "inpainter")
    }
    return ServedModels(
        preset=preset.name,
        about=preset.about,
        licence=preset.licence,
        models=[served_model(role, part) for role, part in parts.items()],
        settings=models.inpaint_settings(removing=False, changes={}).as_dict(),
        max_pixels=store.settings.max_pixels,
    )


def served_model(role: str, part: Mapping[str, Any]) -> ServedModel:
    """A part of a preset; of a folder only the last name, since clients must not learn the rest."""
    given = part["path"].replace("\\", "/").rstrip("/")
    hub = given.count("/") == 1 and not given.startswith((".", "~", "/"))
    family = part.get("family") or part.get("backend")
    return ServedModel(
        role=role,
        name=given if hub else given.rpartition("/")[2].removeprefix("bundled:"),
        family=family,
        revision=part.get("revision"),
    )


@router.get(
    "/health",
    tags=["server"],
    responses={503: {"model": Health, "description": "The server is closing."}},
)
async def _health(store: Store, response: Response) -> Health:
    """Whether the server takes jobs; needs no token."""
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
async def _ready(store: Store, response: Response) -> Health:
    """Whether a job would be taken now: 503 while closing, 429 while the queue is full."""
    store.check_capacity()
    return await _health(store, response)


@router.get(
    "/metrics", response_class=PlainTextResponse, responses=error_responses(), tags=["server"]
)
def _metrics(store: Store) -> Any:
    """Metrics for Prometheus."""
    store.sweep()
    return Response(store.metrics.text(), media_type=CONTENT_TYPE)
