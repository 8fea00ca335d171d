"""Counted things: found from the plural's own map, or queried one by one.

    python -m benchmarks.plurals

On held-out composed scenes with two or three alike ("three cupcakes") and others beside them.
Right number: scenes with as many places as the words say. Things found: share of the things that
some place has with an IoU of at least 0.5. Average recall: the mean IoU of all places together.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchmarks import common

COUNT, FIRST = 40, 800_000
SCORES = ("right number", "things found", "average recall")


def scenes(count: int) -> Iterator[tuple[Any, str, list]]:
    """Scenes with the noun that is there two or three times, and the masks of its things."""
    from groundbrush.miniature.scenes import SceneSettings, compose

    settings = SceneSettings(objects=(3, 4), twins=1.0, triples=0.5)
    seed = FIRST
    while count:
        seed += 1
        scene = compose("heldout", seed, settings)
        nouns = Counter(thing.noun for thing in scene.objects)
        noun, number = nouns.most_common(1)[0] if nouns else ("", 0)
        if 2 <= number <= 3 and len(nouns) > 1:
            count -= 1
            alike = [k for k, thing in enumerate(scene.objects) if thing.noun == noun]
            yield scene, noun, [scene.mask(k) for k in alike]


def measure(args: Namespace) -> dict[str, Any]:
    """One row a way: right number, things found, average recall."""
    import numpy as np
    from groundbrush import Editor
    from groundbrush.grounding.metrics import mask_iou
    from groundbrush.multiobject.find.phrase_query import position_variants
    from groundbrush.multiobject.find.search import SearchTerm, search
    from groundbrush.multiobject.instances import split_instances

    grounder = Editor.load("miniature", device="cpu", offline=True).models.grounder()
    found: dict[str, list] = {"the plural's map": [], "one by one": []}
    for scene, noun, masks in scenes(3 if args.tiny else COUNT):
        view, words = grounder.look(scene.image), f"the {noun}"
        variants = position_variants(words, len(masks), grounder.lvlm.unknown_words)
        terms = [SearchTerm(words, False), SearchTerm(words, False, variants)]
        for way, result in zip(found, search(grounder, view, terms), strict=True):
            places = split_instances(
                scene.image, result.grounding, result.variants, at_most=len(masks)
            )
            union = np.any([p.mask for p in places], axis=0) if places else np.zeros_like(masks[0])
            hit = [any(mask_iou(p.mask, mask) >= 0.5 for p in places) for mask in masks]
            whole = mask_iou(union, np.any(masks, axis=0))
            found[way].append((len(places) == len(masks), float(np.mean(hit)), whole))
    rows = []
    for way, scores in found.items():
        means = np.mean(np.array(scores, float), axis=0).round(3).tolist()
        rows.append({"way": way, "scenes": len(scores), **dict(zip(SCORES, means, strict=True))})
    common.show(rows, "scenes d, right number .3f, things found .3f, average recall .3f, way s")
    return {"rows": rows}


main = common.script("plurals", __doc__, measure)

if __name__ == "__main__":
    sys.exit(main())
