"""A request's body -> what is asked and the pictures; never more of it in memory than its JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .refusal import Refusal
from .schema import ASKS, BY_PATH, MASKED
from .settings import REQUEST_BYTES, ServeSettings

JSON, MULTIPART = "application/json", "multipart/form-data"
_MANY = 20  # wrong values told of one request


@dataclass(frozen=True)
class Asked:
    """What a request says, checked by its model, and what was uploaded with it."""

    action: str
    values: dict[str, Any]
    image: UploadFile | None = None
    mask: UploadFile | None = None


async def read_body(request: Request, action: str, settings: ServeSettings) -> Asked:
    """Read and check a request.

    Raises
    ------
    Refusal
        408 when it takes too long, 413 for too many bytes, 415 for another kind of body, 422 for
        values that are wrong.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(settings.upload_seconds):
            if kind == JSON:
                body = bytearray()
                async for part in _limited(request, REQUEST_BYTES):
                    body += part
                return Asked(action, checked(BY_PATH[action], bytes(body)))
            if kind == MULTIPART:
                return await _read_form(request, action, settings)
    except TimeoutError:
        raise Refusal(
            408,
            "too_slow",
            f"the request did not arrive within {settings.upload_seconds:g} "
            "seconds; send a smaller picture",
        ) from None
    except ClientDisconnect:
        raise Refusal(400, "disconnected", "the request ended before its body did") from None
    raise Refusal(
        415,
        "media_type",
        f"a body of {kind or 'no kind'!a} given; expected {JSON} with the "
        f"picture's path, or {MULTIPART} with the picture",
    )


async def discard(request: Request, settings: ServeSettings) -> None:
    """Read a body that is not wanted, so that the client gets to read the answer."""
    try:
        async with asyncio.timeout(settings.upload_seconds):
            async for _ in _limited(request, settings.max_bytes):
                pass
    except (Refusal, TimeoutError, ClientDisconnect):
        pass


def checked(model: type[BaseModel], text: bytes) -> dict[str, Any]:
    """The values of a JSON text that a model describes, with the defaults of those not given.

    Raises
    ------
    Refusal
        422, with every wrong value; none of them is repeated, for they may be long or secret.
    """
    if len(text) > REQUEST_BYTES:
        raise _too_large(REQUEST_BYTES)
    try:
        return model.model_validate_json(text).model_dump(exclude_none=True)
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False, include_context=False)
        details = [
            {"where": ".".join(map(str, one["loc"])) or "body", "message": one["msg"]}
            for one in told[:_MANY]
        ]
        first = details[0]
        raise Refusal(
            422,
            "invalid",
            f"{first['where']}: {first['message']}; /openapi.json says what is expected",
            details=details,
        ) from None


async def _limited(request: Request, most: int) -> AsyncIterator[bytes]:
    """The body's parts; a Refusal as soon as there are too many bytes."""
    declared = request.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()) or int(declared) > most:
        raise _too_large(most)
    count = 0
    async for part in request.stream():
        count += len(part)
        if count > most:
            raise _too_large(most)
        yield part


async def _read_form(request: Request, action: str, settings: ServeSettings) -> Asked:
    """The parts of a multipart body; files beyond a megabyte go to the disk as they come."""
    parts = _limited(request, settings.max_bytes)

    async def receive() -> MutableMapping[str, Any]:
        try:
            return {"type": "http.request", "body": await anext(parts), "more_body": True}
        except StopAsyncIteration:
            return {"type": "http.request", "body": b"", "more_body": False}

    try:
        form = await Request(request.scope, receive).form(
            max_files=3, max_fields=3, max_part_size=REQUEST_BYTES
        )
    except HTTPException as error:
        raise Refusal(422, "invalid", f"the body is no whole form: {error.detail}") from None
    try:
        return await _from_form(form, action)
    except BaseException:
        await form.close()
        raise


async def _from_form(form: FormData, action: str) -> Asked:
    allowed = {"request", "image", "mask"} if action in MASKED else {"request", "image"}
    names = [name for name, _ in form.multi_items()]
    odd = sorted(set(names) - allowed) or [n for n in names if names.count(n) > 1]
    if odd:
        raise _part(odd[0], f"it is unknown or there twice; expected {', '.join(sorted(allowed))}")
    text = form.get("request")
    if isinstance(text, UploadFile):
        text = (await text.read(REQUEST_BYTES + 1)).decode("utf-8", "surrogateescape")
    if not text:
        raise _part("request", "it is missing; expected JSON that says what to do")
    values = checked(ASKS[action], text.encode("utf-8", "surrogateescape"))
    image, mask = form.get("image"), form.get("mask")
    if not isinstance(image, UploadFile):
        raise _part("image", "it is missing or no file; expected a picture with a file name")
    if mask is not None and not isinstance(mask, UploadFile):
        raise _part("mask", "it is no file; expected a picture with a file name")
    return Asked(action, values, image, mask)


def _part(name: str, words: str) -> Refusal:
    details = [{"where": name, "message": words}]
    return Refusal(422, "invalid", f"the part {name!a}: {words}", details=details)


def _too_large(most: int) -> Refusal:
    return Refusal(
        413,
        "too_large",
        f"the body is longer than {most:,} bytes; send a smaller picture",
        {"Connection": "close"},
    )
