"""The file that Streamlit runs: it finds `app` by its name. A script's imports are absolute."""

import os
from pathlib import Path

from groundbrush.app.page.access import PageAccess
from groundbrush.app.page.tiles import ROUTES
from starlette.middleware import Middleware
from streamlit.starlette import App

HOSTS = os.environ.get("GROUNDBRUSH_PAGE_HOSTS", "")
"""Names for the page beside localhost and addresses, joined by blanks."""
app = App(
    Path(__file__).with_name("script.py"),
    routes=ROUTES,
    middleware=[Middleware(PageAccess, hosts=tuple(HOSTS.lower().split()))],
)
