"""Panoptic Narrative Grounding: read its files and score (Gonzalez et al., ICCV 2021).

Average recall is the area under recall(IoU >= t) for t from 0 to 1, over all phrases, which is
their mean IoU; the benchmark's own code (BCV-Uniandes/PNG, baseline/utils/meters.py) sums it in
steps of 0.00001. A phrase's true mask is the union of its segments.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import MultiObjectError
from .export.coco import rgb_to_id
from .phrases.noun_phrases import NounPhrase, noun_phrases

if TYPE_CHECKING:
    from ..grounding.pipeline import Grounder
    from ..grounding.view import View
    from .panoptic import PanopticGrounding

GROUPS = ("all", "things", "stuff", "singulars", "plurals")
CAPTIONS, PANOPTIC, MASKS = "png_coco_{}.json", "panoptic_{}.json", "panoptic_segmentation/{}"


@dataclass(frozen=True)
class PngPhrase:
    """A phrase of a narrative that has segments in the panoptic PNG.

    `span` are half-open character offsets in the caption. As in the benchmark's own code, it is
    plural with more than one segment, and a thing if the last of them is one.
    """

    text: str
    span: tuple[int, int]
    segment_ids: tuple[int, ...]
    plural: bool
    is_thing: bool


@dataclass(frozen=True)
class Narrative:
    """One picture's narrative; `mask_file` is its panoptic PNG.

    The caption is the data's, or the joined utterances if they are not found in it.
    """

    image_id: int
    image_file: Path
    mask_file: Path
    caption: str
    phrases: tuple[PngPhrase, ...]

    def ids(self) -> np.ndarray:
        """Read the picture's segment ids, (H, W) int32."""
        from PIL import Image

        try:
            with Image.open(self.mask_file) as picture:
                return rgb_to_id(np.asarray(picture.convert("RGB")))
        except (OSError, SyntaxError, ValueError) as error:
            raise MultiObjectError(
                f"the panoptic PNG {self.mask_file} cannot be read ({error}); unpack COCO's "
                "panoptic annotations there"
            ) from error


def truth(ids: np.ndarray, phrase: PngPhrase) -> np.ndarray:
    """Return a phrase's true mask, (H, W) bool."""
    return np.isin(ids, phrase.segment_ids)


def read_png(root: str | Path, split: str = "val2017") -> Iterator[Narrative]:
    """Yield the narratives of the public layout, in the file's order.

    Parameters
    ----------
    root : Folder with ``images/val2017`` and ``annotations``, which holds
        ``png_coco_val2017.json``, ``panoptic_val2017.json`` and the PNGs in
        ``panoptic_segmentation/val2017``. As COCO unpacks them, the PNGs may also be in
        ``panoptic_val2017`` and the pictures in ``val2017``; all may be in the folder itself.

    Raises MultiObjectError if a file is missing or has another form.
    """
    root = Path(root)
    narratives = _json(_find(root, CAPTIONS.format(split)))
    panoptic = _json(_find(root, PANOPTIC.format(split)))
    folder = _find(root, MASKS.format(split), f"panoptic_{split}")
    pictures = root / "images" / split
    pictures = pictures if pictures.is_dir() else root / split
    try:
        things = {c["id"]: bool(c["isthing"]) for c in panoptic["categories"]}
        annotated = {a["image_id"]: a for a in panoptic["annotations"]}
        images = {i["id"]: pictures / i["file_name"] for i in panoptic["images"]}
    except (KeyError, TypeError) as error:
        raise MultiObjectError(
            f"{PANOPTIC.format(split)} lacks {error}; expected COCO's panoptic annotations"
        ) from error
    if not isinstance(narratives, list):
        raise MultiObjectError(f"{CAPTIONS.format(split)} holds no list of narratives")
    for k, given in enumerate(narratives):
        try:
            yield _narrative(given, annotated, images, things, folder)
        except (KeyError, TypeError, ValueError) as error:
            raise MultiObjectError(
                f"{CAPTIONS.format(split)}, narrative {k}: {type(error).__name__} {error}; "
                "expected image_id, caption and segments with utterance, noun, segment_ids"
            ) from error


def _narrative(
    given: Mapping[str, Any],
    annotated: Mapping[int, Mapping[str, Any]],
    images: Mapping[int, Path],
    things: Mapping[int, bool],
    folder: Path,
) -> Narrative:
    number = int(given["image_id"])
    annotation = annotated[number]
    kinds = {int(s["id"]): things[s["category_id"]] for s in annotation["segments_info"]}
    caption, spans = _placed(str(given["caption"]), [p["utterance"] for p in given["segments"]])
    phrases = []
    for part, span in zip(given["segments"], spans, strict=True):
        ids = tuple(int(i) for i in part["segment_ids"])  # text in the public file
        if part["noun"] and ids:
            phrases.append(PngPhrase(part["utterance"], span, ids, len(ids) > 1, kinds[ids[-1]]))
    return Narrative(
        number, images[number], folder / annotation["file_name"], caption, tuple(phrases)
    )


def _placed(caption: str, utterances: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Return the caption and the spans of its utterances, which follow each other."""
    spans, at = [], 0
    for words in utterances:
        start = caption.find(words, at)
        if start < 0:
            break
        at = start + len(words)
        spans.append((start, at))
    if len(spans) == len(utterances):
        return caption, spans
    text, spans = "", []
    for words in utterances:
        text += " " if text and words[:1] not in tuple(",.;:!?'") else ""
        spans.append((len(text), len(text) + len(words)))
        text += words
    return text, spans


def ground_narrative(
    grounder: Grounder, view: View, narrative: Narrative, *, mode: str = "caption"
) -> PanopticGrounding:
    """Find a narrative's phrases with `ground_all`: a segment for each of them.

    The phrases are the data's, not the parser's; plural and stuff are read from their words alone.
    """
    from .find.ground_all import ground_all

    phrases = [_noun_phrase(phrase) for phrase in narrative.phrases]
    return ground_all(grounder, view, narrative.caption, mode=mode, phrases=phrases)


def _noun_phrase(phrase: PngPhrase) -> NounPhrase:
    """Parse a phrase of the data."""
    try:
        parsed = noun_phrases(phrase.text)
    except MultiObjectError:  # a word or two may not read as English
        parsed = ()
    start, stop = phrase.span
    if parsed:
        return replace(parsed[0], text=phrase.text, refer=phrase.text, span=(start, stop))
    head = phrase.text.split()[-1]
    return NounPhrase(phrase.text, (start, stop), head, head.lower(), False, (), phrase.text)


def _find(root: Path, *names: str) -> Path:
    """Return the first path that exists, in the folder or its annotations."""
    for name in names:
        for path in (root / "annotations" / name, root / name):
            if path.exists():
                inside = path / path.name  # as COCO's archive of PNGs unpacks
                return inside if inside.is_dir() else path
    raise MultiObjectError(
        f"{names[0]} is not in {root} nor in its 'annotations'; expected the public layout: "
        "annotations/png_coco_val2017.json, annotations/panoptic_val2017.json and the folder "
        "annotations/panoptic_segmentation/val2017"
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MultiObjectError(f"{path} cannot be read as JSON ({error})") from error
