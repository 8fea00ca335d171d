"""Serve what the canvas shows, in tiles of a pyramid: a browser gets only what it can see.

Level 0 is the picture itself, each further level half the one before; the last is one tile.

>>> level_count((8000, 6000))
4
>>> tile(np.zeros((6000, 8000, 3), np.uint8), 3, 0, 0).shape
(750, 1000, 3)
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakValueDictionary

import cv2
import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ...editor.errors import GroundbrushError
from .canvas import outlines

TILE = 1024
"""Side of a tile in pixels; canvas_view.js has the same."""


class Shown:
    """A picture under an address that cannot be guessed, for as long as this object is kept.

    Parameters
    ----------
    pixels : ``(H, W, 3)`` uint8, or ``(H, W, 4)`` with alpha, or a function that returns the latest
        one, or None.
    click : Returns what a click on a point, shares of width and height, would take: ``(H, W)``
        bool, or None where that is not known now.
    """

    def __init__(
        self,
        pixels: np.ndarray | Callable[[], np.ndarray | None],
        click: Callable[[float, float], np.ndarray | None] = lambda x, y: None,
    ) -> None:
        self.click = click
        self.fixed = isinstance(pixels, np.ndarray)
        self.latest = pixels if callable(pixels) else lambda: pixels
        self.token = secrets.token_urlsafe(16)
        _SHOWN[self.token] = self


_SHOWN: WeakValueDictionary[str, Shown] = WeakValueDictionary()


def level_count(size: tuple[int, int]) -> int:
    """Levels of the pyramid of a picture of `size`."""
    return 1 + max(0, math.ceil(math.log2(max(size) / TILE)))


def tile(pixels: np.ndarray, level: int, column: int, row: int) -> np.ndarray | None:
    """One tile, ``(h, w, 3)`` uint8; None outside the picture."""
    step = TILE << level
    part = pixels[row * step : (row + 1) * step, column * step : (column + 1) * step]
    if not part.size:
        return None
    size = tuple(math.ceil(n / (1 << level)) for n in part.shape[1::-1])
    return cv2.resize(part, size, interpolation=cv2.INTER_AREA) if level else part


def _answer(request: Request) -> Response:
    shown = _SHOWN.get(request.path_params["token"])
    pixels = shown.latest() if shown is not None else None
    if shown is None or pixels is None:
        return Response(status_code=404)
    last = level_count(pixels.shape[1::-1]) - 1
    level, column, row = (int(request.path_params.get(n, 0)) for n in ("level", "column", "row"))
    if "level" not in request.path_params:
        level = last
    part = tile(pixels, level, column, row) if level <= last else None
    if part is None:
        return Response(status_code=404)
    keep = "private, max-age=86400, immutable" if shown.fixed else "no-store"
    return Response(
        jpeg(on_checks(part), 92), media_type="image/jpeg", headers={"Cache-Control": keep}
    )


def on_checks(pixels: np.ndarray) -> np.ndarray:
    """A picture with what is transparent over grey and white squares."""
    if pixels.shape[2] == 3:
        return pixels
    rows, columns = np.ogrid[: pixels.shape[0], : pixels.shape[1]]
    squares = np.where((rows // 16 + columns // 16) % 2, 255, 204)[..., None]
    mixed = squares + (pixels[..., :3] - squares) * (pixels[..., 3:] / 255)
    return np.rint(mixed).astype(np.uint8)


def jpeg(pixels: np.ndarray, quality: int = 88) -> bytes:
    """A picture as a JPEG to look at, its colours at full resolution."""
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def _click(request: Request) -> Response:
    """The outlines of what a click would take."""
    shown = _SHOWN.get(request.path_params["token"])
    try:
        x, y = (float(request.query_params[name]) for name in "xy")
    except (KeyError, ValueError):
        return Response(status_code=400)
    taken = None
    if shown is not None and 0 <= x <= 1 and 0 <= y <= 1:
        with suppress(GroundbrushError):
            taken = shown.click(x, y)
    headers = {"Cache-Control": "no-store"}
    return JSONResponse([] if taken is None else outlines(taken, 5_000), headers=headers)


def _png(request: Request) -> Response:
    """The whole picture, every pixel and its alpha, for the clipboard."""
    shown = _SHOWN.get(request.path_params["token"])
    pixels = shown.latest() if shown is not None else None
    if pixels is None:
        return Response(status_code=404)
    order = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    file = cv2.imencode(".png", cv2.cvtColor(pixels, order))[1].tobytes()
    return Response(file, media_type="image/png", headers={"Cache-Control": "no-store"})


ROUTES = (
    Route("/picture/{token}/png", _png),
    Route("/picture/{token}/click", _click),
    Route("/picture/{token}/whole", _answer),
    Route("/picture/{token}/{level:int}/{column:int}/{row:int}", _answer),
)
