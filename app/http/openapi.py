"""The OpenAPI document: what `fastapi` cannot see, because bodies are read by hand with limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from .schema import ASKS, BY_PATH, MASKED, Job, Problem
from .settings import ServeSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

DESCRIPTION = (
    "Text-guided local image editing. A POST puts a job in line and answers 202 with its id; "
    "GET /v1/jobs/{id} tells how far it is and what it came to, DELETE stops it. A picture comes "
    "as a multipart upload beside the part `request`, or as a path inside the server's root."
)
_WORDS = {
    "400": "The request is for another host, or ended early.",
    "401": "No token, or a wrong one.",
    "403": "A page of another server asked, or the path is not allowed.",
    "404": "There is none.",
    "408": "The body came too slowly.",
    "409": "Not yet.",
    "413": "Too large.",
    "415": "Another kind of body.",
    "422": "A value is wrong.",
    "429": "The line is full; Retry-After says when to ask again.",
    "503": "The server is closing.",
}
_REF = "#/components/schemas/"
FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {
            "image/png": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {"schema": {}},
        },
    }
}


def problems(*statuses: str) -> dict[int | str, dict[str, Any]]:
    """The answers from 400 on that an address has, with those that all have."""
    every = sorted({*statuses, "400", "401", "403"})
    found: dict[int | str, dict[str, Any]] = {
        status: {"description": _WORDS[status], "model": Problem} for status in every
    }
    for status in {"429", "503"} & set(every):
        found[status]["headers"] = {
            "Retry-After": {
                "schema": {"type": "string"},
                "required": True,
                "description": "seconds",
            }
        }
    return found


def posted(action: str) -> dict[str, Any]:
    """Options of the address that takes one kind of job."""
    accepted = {
        "description": "In line.",
        "model": Job,
        "headers": {"Location": {"schema": {"type": "string"}, "required": True}},
        "links": {
            name: {"operationId": name, "parameters": {"job_id": "$response.body#/id"}}
            for name in ("get_job", "delete_job")
        },
    }
    refused = problems("404", "408", "413", "415", "422", "429", "503")
    return {
        "status_code": 202,
        "operation_id": action,
        "tags": ["jobs"],
        "responses": {202: accepted, **refused},
        "openapi_extra": {"requestBody": _request_body(action)},
    }


def _request_body(action: str) -> dict[str, Any]:
    binary = {"type": "string", "format": "binary"}
    parts = {"request": {"$ref": _REF + ASKS[action].__name__}, "image": binary}
    if action in MASKED:
        parts["mask"] = {**binary, "description": "painted where it is white"}
    form = {
        "type": "object",
        "properties": parts,
        "required": ["request", "image"],
        "additionalProperties": False,
    }
    encoding = {
        name: {"contentType": "image/png, image/jpeg, image/webp"}
        for name in parts
        if name != "request"
    }
    return {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": _REF + BY_PATH[action].__name__}},
            "multipart/form-data": {
                "schema": form,
                "encoding": encoding,  # of `request`, an object, it is application/json anyway
            },
        },
    }


def document(app: FastAPI, settings: ServeSettings) -> dict[str, Any]:
    """The whole document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        models = [*ASKS.values(), *BY_PATH.values()]
        _, schemas = models_json_schema(
            [(m, "validation") for m in models], ref_template=_REF + "{model}"
        )
        made["components"]["schemas"] |= schemas["$defs"]
        for unused in ("HTTPValidationError", "ValidationError"):
            made["components"]["schemas"].pop(unused, None)
        if settings.token is not None:
            made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            made["security"] = [{"token": []}]
            made["paths"]["/health"]["get"]["security"] = []
        app.openapi_schema = made
    return app.openapi_schema
