"""What FastAPI's OpenAPI document lacks: bodies read by hand, errors, the token."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from .bodies import BODIES, MASKED
from .schema import ErrorResponse
from .settings import ServeSettings

DESCRIPTION = (
    "Text-guided local image editing. A POST queues a job and answers 202 with its id; GET "
    "/v1/jobs/{id} has its progress and its result, DELETE stops it. A picture comes as a "
    "multipart upload beside the part `request`, or as a path inside the server's root."
)
_ERRORS = {
    400: "The request is for another host, or ended early.",
    401: "No token, or a wrong one.",
    403: "The request comes from a page of another server, or the path is not allowed.",
    404: "There is none.",
    408: "The body came too slowly.",
    409: "Not yet.",
    413: "Too large.",
    415: "Another kind of body.",
    422: "A value is wrong.",
    429: "The queue is full; Retry-After says when to repeat the request.",
    503: "The server is closing.",
}
_REF = "#/components/schemas/"
_BINARY = {"type": "string", "format": "binary"}
FILE_RESPONSE: dict[str, Any] = {
    "description": "The file.",
    "content": {"image/png": {"schema": _BINARY}, "application/json": {"schema": {}}},
}
EVENTS_RESPONSE: dict[str, Any] = {
    "description": "Events with the job's JSON as data: `progress`, then its last state.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route answers, with those that all routes answer."""
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": _ERRORS[status], "model": ErrorResponse}
        for status in sorted({*statuses, 400, 401, 403})
    }
    retry = {"schema": {"type": "string"}, "required": True, "description": "seconds"}
    for status in {429, 503} & responses.keys():
        responses[status]["headers"] = {"Retry-After": retry}
    return responses


def job_route(action: str) -> dict[str, Any]:
    """The documentation of the route that queues jobs of one action."""
    links = {
        name: {"operationId": name, "parameters": {"job_id": "$response.body#/id"}}
        for name in ("get_job", "delete_job")
    }
    accepted = {
        "description": "Queued.",
        "headers": {"Location": {"schema": {"type": "string"}, "required": True}},
        "links": links,
    }
    return {
        "responses": {202: accepted, **error_responses(404, 408, 413, 415, 422, 429, 503)},
        "openapi_extra": {"requestBody": _request_body(action)},
    }


def _request_body(action: str) -> dict[str, Any]:
    images = {"image": _BINARY}
    if action in MASKED:
        images["mask"] = {**_BINARY, "description": "painted where it is white"}
    named = [{"$ref": _REF + model.__name__} for model in BODIES[action].values()]
    body: dict[str, Any] = named[0]
    if len(named) > 1:
        body = {"oneOf": [{"allOf": [one, {"required": ["action"]}]} for one in named]}
    form = {
        "type": "object",
        "properties": {"request": body, **images},
        "required": ["request", "image"],
        "additionalProperties": False,
    }
    encoding = {name: {"contentType": "image/png, image/jpeg, image/webp"} for name in images}
    by_path = {"allOf": [body, {"required": ["image"]}]}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": by_path},
            "multipart/form-data": {"schema": form, "encoding": encoding},
        },
    }


class DocumentedAPI(FastAPI):
    """FastAPI with the bodies' models and the token in its OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        """The whole document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            models = [(m, "validation") for one in BODIES.values() for m in one.values()]
            _, schemas = models_json_schema([*dict.fromkeys(models)], ref_template=_REF + "{model}")
            components = document["components"]
            components["schemas"] |= schemas["$defs"]
            for schema in schemas["$defs"].values():
                if "op" in schema.get("properties", {}):  # it selects the operation
                    schema["required"] = ["op", *schema.get("required", [])]
            for unused in ("HTTPValidationError", "ValidationError"):
                components["schemas"].pop(unused, None)
            settings: ServeSettings = self.state.store.settings
            if settings.token is not None:
                components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                document["security"] = [{"token": []}]
                for path in ("/health", "/ready"):
                    document["paths"][path]["get"]["security"] = []
        assert self.openapi_schema is not None
        return self.openapi_schema
