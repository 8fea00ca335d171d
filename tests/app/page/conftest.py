"""The browser that the tests of the page and of its canvas share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from groundbrush.tests.app.page.driver import chromium


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """Debian's Chromium; ended with the module, since its event loop would hinder others."""
    with chromium() as made:
        yield made
