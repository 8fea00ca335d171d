"""The file that Streamlit runs: it finds `app` by its name. A script's imports are absolute."""

import os
from pathlib import Path

from starlette.middleware import Middleware
from streamlit.starlette import App

from groundbrush.app.page.access import PageAccess

HOSTS = os.environ.get("GROUNDBRUSH_PAGE_HOSTS", "")
"""Names for the page beside localhost and addresses, joined by blanks."""
app = App(
    Path(__file__).with_name("script.py"),
    middleware=[Middleware(PageAccess, hosts=tuple(HOSTS.lower().split()))],
)
