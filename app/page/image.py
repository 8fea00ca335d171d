"""Pictures with a text alternative, where this version of Streamlit has a place for one."""

from __future__ import annotations

from inspect import signature
from typing import Any

import streamlit as st

_TAKES_ALT = "alt" in signature(st.image).parameters


def show_image(picture: Any, alt: str, **options: Any) -> None:
    """Show a picture as `st.image` does."""
    st.image(picture, **options, **({"alt": alt} if _TAKES_ALT else {}))
