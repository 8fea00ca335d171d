"""Read a request's body, JSON or a multipart form, within its limits of bytes and time.

FastAPI declares one kind of body at a path. Where both are possible, its documentation reads the
request directly, as is done here with Starlette's parsers and the models of `app.http.bodies`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message

from ...editor.errors import GroundbrushError
from .bodies import BODIES, MASKED
from .errors import ApiError, invalid
from .settings import MAX_JSON_BYTES, ServeSettings

JSON, MULTIPART = "application/json", "multipart/form-data"


@dataclass(frozen=True)
class JobRequest:
    """A validated request; an image is an upload, or a path inside the server's root.

    The mask is None where there is none, and where the body holds it as recipes do.
    """

    action: str
    body: Any
    image: UploadFile | str
    mask: UploadFile | str | None = None


@asynccontextmanager
async def read_request(
    request: Request, action: str, settings: ServeSettings
) -> AsyncIterator[JobRequest]:
    """Read and validate a request; its uploads are closed afterwards.

    Raises ApiError: 408 if it takes too long, 413 for too many bytes, 415 for another kind of body,
    422 for wrong values.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    most = {JSON: MAX_JSON_BYTES, MULTIPART: settings.max_bytes}.get(kind)
    if most is None:
        raise ApiError(
            415,
            "media_type",
            f"a body of {kind or 'no kind'!a} given; expected {JSON} with the picture's path, or "
            f"{MULTIPART} with the picture",
        )
    try:
        async with asyncio.timeout(settings.upload_seconds):
            bounded = _bounded(request, most, settings.stall_seconds)
            body = await (bounded.body() if kind == JSON else _read_form(bounded))
    except TimeoutError:
        message = (
            f"the request did not arrive within {settings.upload_seconds:g} seconds, or paused for "
            f"{settings.stall_seconds:g}; send a smaller picture"
        )
        raise ApiError(408, "too_slow", message, {"Connection": "close"}) from None
    except ClientDisconnect:
        raise ApiError(400, "disconnected", "the request ended before its body did") from None
    if isinstance(body, bytes):
        yield _read_body(action, body, settings, {})
        return
    try:
        yield await _from_form(action, body, settings)
    finally:
        await body.close()


async def discard(request: Request, settings: ServeSettings) -> None:
    """Read an unwanted body, so that the client gets to read the answer."""
    with suppress(ApiError, TimeoutError, ClientDisconnect):
        async with asyncio.timeout(settings.upload_seconds):
            bounded = _bounded(request, settings.max_bytes, settings.stall_seconds)
            async for _ in bounded.stream():
                pass


def _bounded(request: Request, most: int, stall: float) -> Request:
    """The same request; reading more than `most` bytes of it raises `ApiError` 413.

    A pause of more than `stall` seconds raises `TimeoutError`.
    """
    declared = request.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()) or int(declared) > most:
        raise _too_large(most)
    count = 0

    async def receive() -> Message:
        nonlocal count
        async with asyncio.timeout(stall):
            message = await request.receive()
        count += len(message.get("body", b""))
        if count > most:
            raise _too_large(most)
        return message

    return Request(request.scope, receive)


def _too_large(most: int) -> ApiError:
    message = f"the body is longer than {most:,} bytes; send a smaller picture"
    return ApiError(413, "too_large", message, {"Connection": "close"})


def _read_body(
    action: str, text: bytes, settings: ServeSettings, uploads: Mapping[str, UploadFile]
) -> JobRequest:
    """Validate the JSON; uploads take the place of the pictures that it names by path."""
    if len(text) > MAX_JSON_BYTES:
        raise _too_large(MAX_JSON_BYTES)
    try:
        values = from_json(text, allow_inf_nan=False)
        if not isinstance(values, dict):
            raise ValueError("expected an object")
    except ValueError as error:
        raise ApiError(422, "invalid", f"the request is no JSON object: {error}") from None
    try:
        _check_masks(values, settings.max_pixels)
        if "mask" in uploads:
            values = {"mask": uploads["mask"].filename, **values}
        models = BODIES[action]
        name = next(iter(models)) if len(models) == 1 else values.get("action")
        if name not in tuple(models):
            raise GroundbrushError(f"action: it is no action; expected one of {', '.join(models)}")
        if action == "remove" and values.get("check") is False:
            values = {"retries": 0, **values}
        body = models[name].model_validate(values)
    except GroundbrushError as error:
        raise ApiError(422, "unprocessable", str(error)) from None
    except ValidationError as error:
        raise invalid(
            error.errors(include_url=False, include_input=False, include_context=False)
        ) from None
    reference = body.image
    path = reference if reference is None or isinstance(reference, str) else reference.path
    image = uploads.get("image") or path
    if image is None:
        code = "unprocessable" if "image" in values else "invalid"
        missing = "it is missing; expected an upload with a file name, or a path"
        raise _wrong_part("image", missing, code)
    mask = getattr(body, "mask", None)
    named = uploads.get("mask") or (mask if isinstance(mask, str) else None)
    changes = {"image": None} if isinstance(reference, str) else {}
    return JobRequest(action, body.model_copy(update=changes), image, named)


def _check_masks(value: Any, max_pixels: int) -> None:
    """Refuse a large mask before it is decoded: a few bytes may unpack to very many."""
    children: Iterable[Any] = value if isinstance(value, list) else ()
    if isinstance(value, dict):
        children = value.values()
        size = value.get("size")
        if "bits" in value and isinstance(size, list):
            sides = [side for side in size if isinstance(side, int | float)]
            if math.prod(sides) > max_pixels:
                shown = "x".join(str(min(side, 10**9)) for side in sides[:2])
                raise GroundbrushError(
                    f"the recipe's mask is {shown} pixels; expected at most {max_pixels:,}"
                )
    for child in children:
        _check_masks(child, max_pixels)


async def _read_form(request: Request) -> FormData:
    """The parts of a form; files beyond a megabyte go to the disk as they come."""
    try:
        return await request.form(max_files=3, max_fields=3, max_part_size=MAX_JSON_BYTES)
    except HTTPException as error:
        raise ApiError(422, "invalid", f"the body is no whole form: {error.detail}") from None


async def _from_form(action: str, form: FormData, settings: ServeSettings) -> JobRequest:
    allowed = {"request", "image", "mask"} if action in MASKED else {"request", "image"}
    names = [name for name, _ in form.multi_items()]
    wrong = sorted(set(names) - allowed) or [n for n in names if names.count(n) > 1]
    if wrong:
        expected = ", ".join(sorted(allowed))
        raise _wrong_part(wrong[0], f"it is unknown or there twice; expected {expected}")
    text = form.get("request")
    if isinstance(text, UploadFile):
        text = (await text.read(MAX_JSON_BYTES + 1)).decode("utf-8", "surrogateescape")
    if not text:
        raise _wrong_part("request", "it is missing; expected JSON that says what to do")
    uploads = {name: part for name, part in form.items() if name != "request"}
    for name, part in uploads.items():
        if not isinstance(part, UploadFile):
            raise _wrong_part(name, "it is no file; expected a picture with a file name")
    return _read_body(action, text.encode("utf-8", "surrogateescape"), settings, uploads)


def _wrong_part(name: str, problem: str, code: str = "invalid") -> ApiError:
    details = [{"where": name, "message": problem}]
    return ApiError(422, code, f"the part {name!a}: {problem}", details=details)
