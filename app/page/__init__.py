"""The page in a browser, run by Streamlit. It knows the API of the editor and no model."""
