"""Held-out scenes with captions, in the public layout of Panoptic Narrative Grounding.

Scene number i has ``2 + i % 5`` named things, on the first of its own seeds with a caption of as
many. ``python -m groundbrush.miniature.narratives OUT --count N`` writes them for the same reader
that reads the real benchmark: pictures, ``png_coco_heldout.json``, ``panoptic_heldout.json`` and
panoptic PNGs (id = R + 256 G + 65536 B). They hold things only; there is no stuff in composed
scenes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from ..multiobject.export.coco import id_to_rgb
from .captions import Caption, caption, words_rng
from .scenes import SPLITS, Scene, SceneSettings, compose
from .vocabulary import load_vocabulary

NAMED = (2, 6)
TRIES = 1000
FIRST = 700_000  # no other score is measured on the seeds from here on


def narratives(split: str, count: int, start: int = 0) -> Iterator[tuple[Scene, Caption]]:
    """Scenes with a caption of 2 to 6 phrases, each number of phrases equally often.

    Examples
    --------
    >>> [len(said.phrases) for _, said in narratives("heldout", 5)]
    [2, 3, 4, 5, 6]
    """
    low, high = NAMED
    for number in range(start, start + count):
        wanted = low + number % (high - low + 1)
        settings = SceneSettings(objects=(wanted, wanted + 1))
        for seed in range(FIRST + number * TRIES, FIRST + (number + 1) * TRIES):
            scene = compose(split, seed, settings)
            if len(scene.objects) < wanted:
                continue
            said = caption(scene, words_rng(split, seed))
            if len(said.phrases) == wanted:
                yield scene, said
                break
        else:
            raise RuntimeError(f"none of {TRIES} scenes had a caption of {wanted} phrases")


def write_narratives(folder: str | Path, count: int, split: str = "heldout") -> Path:
    """Write scenes and their captions; pictures that are there already are kept.

    Returns
    -------
    pathlib.Path
        The JSON with the captions.
    """
    root = Path(folder)
    images, masks = root / "images" / split, root / "annotations" / "panoptic_segmentation" / split
    images.mkdir(parents=True, exist_ok=True)
    masks.mkdir(parents=True, exist_ok=True)
    nouns = list(load_vocabulary().nouns)
    said, pictures, annotations = [], [], []
    for number, (scene, words) in enumerate(narratives(split, count), 1):
        name = f"{number:012}.png"
        Image.fromarray(scene.image).save(images / name)
        Image.fromarray(id_to_rgb(scene.instances)).save(masks / name)
        height, width = scene.instances.shape
        pictures.append({"id": number, "file_name": name, "height": height, "width": width})
        segments = [
            {
                "id": k + 1,
                "category_id": nouns.index(thing.noun) + 1,
                "iscrowd": 0,
                "bbox": [*thing.box[:2], thing.box[2] - thing.box[0], thing.box[3] - thing.box[1]],
                "area": int(scene.mask(k).sum()),
            }
            for k, thing in enumerate(scene.objects)
        ]
        annotations.append({"image_id": number, "file_name": name, "segments_info": segments})
        said.append({"image_id": str(number), "caption": words.text, "segments": _spoken(words)})
    kinds = [
        {"id": k, "name": noun, "isthing": 1, "supercategory": "thing"}
        for k, noun in enumerate(nouns, 1)
    ]
    panoptic = {"images": pictures, "annotations": annotations, "categories": kinds}
    page = root / "annotations" / f"png_coco_{split}.json"
    (page.parent / f"panoptic_{split}.json").write_text(json.dumps(panoptic), encoding="utf-8")
    page.write_text(json.dumps(said), encoding="utf-8")
    return page


def _spoken(words: Caption) -> list[dict[str, Any]]:
    """The caption cut into utterances, those between the phrases too."""
    pieces: list[tuple[str, tuple[int, ...], bool]] = []
    at = 0
    for phrase in words.phrases:
        start, stop = phrase.span
        pieces += [(words.text[at:start], (), False), (phrase.text, phrase.indices, phrase.plural)]
        at = stop
    pieces.append((words.text[at:], (), False))
    return [
        {
            "utterance": text.strip(),
            "segment_ids": [str(index + 1) for index in indices],
            "noun": bool(indices),
            "plural": plural,
        }
        for text, indices, plural in pieces
        if text.strip()
    ]


def main(argv: list[str] | None = None) -> None:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(
        prog="python -m groundbrush.miniature.narratives",
        description="Write composed scenes as Panoptic Narrative Grounding has its pictures.",
    )
    parser.add_argument("out", help="folder to write to")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--split", choices=tuple(SPLITS), default="heldout")
    args = parser.parse_args(argv)
    print(write_narratives(args.out, args.count, args.split))


if __name__ == "__main__":
    main()
