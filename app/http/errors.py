"""Errors of the HTTP API and the JSON that answers them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

_GIVEN = r"(?s)^Value error, .*(?=expected )"
"""Of a message about one value; those about the whole request repeat none."""
MAX_DETAILS = 20
"""Most wrong values listed for one request."""


class ApiError(Exception):
    """An error answer; raised anywhere below a route or a middleware.

    `code` is a word for programs, stable between versions; `details` are ``where`` and ``message``
    of each wrong value.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: Mapping[str, str] | None = None,
        details: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.status, self.code = status, code
        self.headers, self.details = headers, list(details)

    def response(self) -> JSONResponse:
        """The answer, as `app.http.schema.ErrorResponse`."""
        error = {"code": self.code, "message": str(self), "details": self.details}
        return JSONResponse({"error": error}, self.status, self.headers)


def invalid(errors: Sequence[Mapping[str, Any]]) -> ApiError:
    """422 for pydantic's errors; no value is repeated, since it may be long or secret."""
    details = [
        {
            "where": ".".join(map(str, error["loc"])) or "body",
            "message": re.sub(_GIVEN if error["loc"] else "^Value error, ", "", error["msg"]),
        }
        for error in errors[:MAX_DETAILS]
    ]
    first = details[0]
    # the document allows what only the editor's validators refuse, such as an empty box
    by_editor = all(error["type"] == "value_error" for error in errors)
    message = f"{first['where']}: {first['message']}; /openapi.json says what is expected"
    return ApiError(422, "unprocessable" if by_editor else "invalid", message, details=details)


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error of a route with the API's JSON."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _internal_error)


async def _api_error(request: Request, error: Any) -> JSONResponse:
    return error.response()


async def _http_error(request: Request, error: Any) -> JSONResponse:
    code = {404: "no_address", 405: "method"}.get(error.status_code, "http")
    headers = dict(error.headers or {})
    if error.status_code == 405:  # Starlette names only those of the first route that matches
        matching = [r for r in request.app.routes if r.matches(request.scope)[0] is not Match.NONE]
        headers["Allow"] = ", ".join(sorted({m for r in matching for m in r.methods}))
    message = f"{request.method} {request.url.path!a}: {error.detail}; /openapi.json lists all"
    return ApiError(error.status_code, code, message, headers).response()


async def _validation_error(request: Request, error: Any) -> JSONResponse:
    return invalid(error.errors()).response()


async def _internal_error(request: Request, error: Any) -> JSONResponse:
    message = "the server failed; its log says more; please report this"
    return ApiError(500, "internal", message).response()
