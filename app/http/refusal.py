"""A request that is not met: a status, a code for programs and a sentence for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class Refusal(Exception):  # noqa: N818 - an answer, not a failure
    """Becomes the response.

    Parameters
    ----------
    status
        Of HTTP.
    code
        A word that programs may go by; it stays the same between versions.
    message
        What was given, what was expected, the mend.
    headers, details
        Of the response, and of each wrong value.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: Mapping[str, str] | None = None,
        details: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})
        self.details = details or []

    @property
    def body(self) -> dict[str, Any]:
        """As `app.http.schema.Problem`."""
        return {"error": {"code": self.code, "message": self.message, "details": self.details}}

    @property
    def raw(self) -> bytes:
        """The body's bytes."""
        return json.dumps(self.body).encode()
