"""The Streamlit editor; it imports :mod:`editor` only."""
