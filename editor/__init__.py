"""The Python API, the steps of an edit and the command line. It knows no HTTP and no browser."""

__version__ = "0.1.0"
