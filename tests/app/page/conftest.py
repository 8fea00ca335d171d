"""The browser that the tests of the page and of its canvas share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """Debian's Chromium; ended with the module, since its event loop would hinder others."""
    from groundbrush.tests.app.page.test_browser import CHROMIUM, SLOW, sync_api

    with sync_api.sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=SLOW
        )
        yield made
        made.close()
