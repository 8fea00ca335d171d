"""The example pictures: held-out scenes and their phrases, ``examples/examples.json``.

``python -m groundbrush.miniature.examples`` draws the pictures and writes the file. The
phrases are chosen by hand here and looked up in the grammar, so a phrase that is not true of
exactly one object is refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .captions import caption
from .edit_sentences import edit_sentence
from .phrases import Expression, expressions
from .scenes import CROWDED, Scene, compose

FOLDER = Path(__file__).parents[1] / "examples"
PAGE = "examples.json"


@dataclass(frozen=True)
class Example:
    """A held-out scene and its phrases.

    ``caption`` and ``sentence`` are numbers: of the many that can be said of a scene, these.
    """

    name: str
    seed: int
    find: tuple[str, ...]
    absent: tuple[str, ...]
    edit: tuple[str, str]  # what to find, what to paint
    caption: int
    sentence: int
    crowded: bool = False

    def scene(self) -> Scene:
        """The scene itself, composed."""
        return compose("heldout", self.seed, CROWDED if self.crowded else None)


EXAMPLES = (
    Example(
        "demo",
        1158,
        ("the red apple", "the right apple", "the green apple at the top"),
        ("the penguin", "the blue apple"),
        ("the red apple", "a frog"),
        caption=16,
        sentence=6,
    ),
    Example(
        "fruit",
        1193,
        (
            "the red apple",
            "the car",
            "the yellow banana",
            "the vehicle",
            "the apple above the banana",
        ),
        ("the pear", "the green car"),
        ("the red apple", "a green pear"),
        caption=9,
        sentence=1,
    ),
    Example(
        "penguin",
        1070,
        (
            "the penguin",
            "the animal",
            "the small apple",
            "the green apple",
            "the apple below the penguin",
        ),
        ("the frog", "the yellow apple"),
        ("the penguin", "a green cactus"),
        caption=7,
        sentence=13,
    ),
    Example(
        "balloons",
        1230,
        (
            "the bus",
            "the bottom balloon",
            "the second balloon from the left",
            "the right orange balloon",
        ),
        ("the umbrella", "the pink balloon"),
        ("the green balloon", "a yellow lemon"),
        caption=14,
        sentence=11,
    ),
    Example(
        "cupcakes",
        1575,
        (
            "the house",
            "the animal",
            "the left cupcake",
            "the second cupcake from the left",
            "the first cupcake from the right",
            "the cupcake left of the dog",
        ),
        ("the penguin", "the teapot"),
        ("the house", "a sunflower"),
        caption=3,
        sentence=8,
        crowded=True,
    ),
    Example(
        "rockets",
        1451,
        (
            "the fruit",
            "the left rocket",
            "the large rocket",
            "the rocket above the apple",
            "the third rocket from the left",
        ),
        ("the umbrella", "the car"),
        ("the red apple", "a red balloon"),
        caption=7,
        sentence=11,
        crowded=True,
    ),
)


def singled_out(scene: Scene, phrase: str) -> Expression:
    """The expression of the grammar that a phrase is.

    Raises
    ------
    ValueError
        Where it is true of no object of the scene, or of several.
    """
    every = [e for i in range(len(scene.objects)) for e in expressions(scene, i)]
    # a phrase may be said of one object for two reasons; of two objects it never is
    found = {e.target: e for e in reversed(every) if e.text == phrase}
    if len(found) != 1:
        raise ValueError(
            f"{phrase!r} is true of {len(found)} objects of the scene; expected one of "
            f"{', '.join(repr(e.text) for e in every)}"
        )
    return next(iter(found.values()))


def row(example: Example) -> dict[str, Any]:
    """What ``examples.json`` says about one picture; indices are of ``scene.objects``."""
    scene = example.scene()
    named = caption(scene, np.random.default_rng([59, example.seed, example.caption]))
    asked = edit_sentence(scene, np.random.default_rng([61, example.seed, example.sentence]))
    return {
        "name": example.name,
        "image": f"{example.name}.png",
        "split": "heldout",
        "seed": example.seed,
        "crowded": example.crowded,
        "find": [_found(scene, phrase) for phrase in example.find],
        "absent": list(example.absent),
        "edit": {**_found(scene, example.edit[0]), "paint": example.edit[1]},
        "caption": {
            "text": named.text,
            "phrases": [
                {"text": p.text, "span": p.span, "targets": p.indices, "plural": p.plural}
                for p in named.phrases
            ],
        },
        "sentence": {
            "text": asked.text,
            "steps": [
                {"action": s.action, "phrase": s.text, "target": s.target, "paint": s.paint}
                for s in asked.steps
            ],
        },
    }


def _found(scene: Scene, phrase: str) -> dict[str, Any]:
    said = singled_out(scene, phrase)
    assert said.target is not None  # singled out
    box = scene.objects[said.target].box
    return {"phrase": phrase, "kind": said.kind, "target": said.target, "box": box}


def page() -> str:
    """``examples.json`` as text, one phrase a line."""
    blocks = []
    for example in EXAMPLES:
        parts = []
        for key, value in row(example).items():
            if key == "find":
                listed = ",\n      ".join(json.dumps(one) for one in value)
                parts.append(f'    "find": [\n      {listed}\n    ]')
            else:
                parts.append(f"    {json.dumps(key)}: {json.dumps(value)}")
        blocks.append("  {\n" + ",\n".join(parts) + "\n  }")
    return "[\n" + ",\n".join(blocks) + "\n]\n"


def main() -> None:
    """Draw every example and write the page."""
    FOLDER.mkdir(exist_ok=True)
    for example in EXAMPLES:
        Image.fromarray(example.scene().image).save(FOLDER / f"{example.name}.png")
        print(FOLDER / f"{example.name}.png")
    (FOLDER / PAGE).write_text(page(), encoding="utf-8")
    print(FOLDER / PAGE)


if __name__ == "__main__":
    main()
