"""The script that Streamlit runs. A script has no package, so the import is absolute."""

from groundbrush.app.page.main import page

page()
