"""An editor without models: places and paint follow from the words alone, in no time.

Words steer it: "absent", "ambiguous" and "uncertain" in a phrase are its status, "refused" raises
an error of ours and "explode" any other; in a prompt the last two happen while painting.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from groundbrush.editor.editing.result import Edit, Variant
from groundbrush.editor.errors import GroundbrushError, translate
from groundbrush.editor.models.presets import Preset
from groundbrush.editor.pictures.picture import Picture, open_picture
from groundbrush.editor.request import EditRequest, PictureReference, make_request
from groundbrush.grounding.detectors.base import NoLVLM
from groundbrush.grounding.result import Candidate, Grounding
from groundbrush.inpaint.errors import InpaintError
from groundbrush.multiobject.panoptic import Instance, PanopticGrounding, Segment

PRESET = Preset("fake", {"path": "a"}, {"path": "b"}, {"path": "c"})


class FakeModels:
    """Counts what would be loaded."""

    words = None
    preset = PRESET
    device = "cpu"
    removal_prompt = "background"

    def __init__(self, loads: Counter) -> None:
        self.loads, self._loaded = loads, set()

    def grounder(self) -> None:
        self._load("grounder")

    def inpainter(self) -> None:
        self._load("inpainter")

    def reader(self) -> NoLVLM:
        return NoLVLM("fake")

    def _load(self, name: str) -> None:
        if name not in self._loaded:
            self._loaded.add(name)
            self.loads[name] += 1

    def inpaint_settings(self, *, removing: bool, changes: dict[str, Any]) -> Any:
        from groundbrush.inpaint import InpaintSettings

        with translate(InpaintError):
            return InpaintSettings.from_dict(changes)


class FakeEditor:
    """What the batch needs of an `Editor`."""

    preset = PRESET

    def __init__(self, calls: list | None = None, loads: Counter | None = None) -> None:
        self.models = FakeModels(Counter() if loads is None else loads)
        self.calls = [] if calls is None else calls

    def check_find(self, phrase: str, *, load: bool = True) -> str:
        assert not load  # all else goes through `ground`
        if "refused" in phrase:
            _raise(phrase)
        return phrase

    def ground(self, image: Any, phrase: str) -> Grounding:
        picture = open_picture(image)
        self.calls.append(("find", phrase))
        _raise(phrase)
        status = next((s for s in ("absent", "ambiguous", "uncertain") if s in phrase), "found")
        mask = spot(picture.pixels.shape[:2], phrase)
        ys, xs = np.nonzero(mask)
        box = tuple(float(v) for v in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
        other = Candidate((1.0, 2.0, 5.0, 6.0), 0.25, spot((12, 16), phrase + "2"))
        if status == "absent":
            mask, box = np.zeros_like(mask), None
        return Grounding(
            phrase,
            status,
            f"it is {status}",
            box,
            mask,
            0.0 if box is None else 0.875,
            (other,),
            ((1, 2), (0, 3)),
            np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4),
            (0.0, 0.0, 16.0, 12.0),
            0.5,
            {"rows": 0.1},
        )

    def find_protection(
        self, image: Picture, request: EditRequest, found: Grounding
    ) -> dict[str, Any]:
        return {"spared": None}

    def paint(
        self,
        image: Picture,
        request: EditRequest,
        callbacks: Any,
        found: Grounding,
        protected: Any = None,
    ) -> Edit:
        from groundbrush.editor.editing.region import chosen_mask

        words = request.paint or "background"
        self.calls.append(("paint", request.find))
        _raise(words)
        digest = hashlib.sha256(image.pixels.tobytes()).hexdigest()
        about = PictureReference(path=str(image.source), sha256=digest)
        request = request.model_copy(update={"preset": "fake", "image": about})
        mask = chosen_mask(found, request.candidate)
        if not mask.any():
            return Edit(
                False,
                image.pixels,
                image,
                found,
                mask,
                {},
                request.seed,
                (),
                {},
                (found.reason,),
                {},
                request,
            )
        variants = []
        for seed in range(request.seed, request.seed + request.variants):
            painted = image.pixels.copy()
            painted[mask] = list(hashlib.sha256(f"{words}{seed}".encode()).digest()[:3])
            variants.append(Variant(painted, seed))
        return Edit(
            True,
            variants[0].image,
            image,
            found,
            mask,
            {},
            request.seed,
            tuple(variants),
            {"preserved": True},
            (),
            {"paint": 0.0},
            request,
        )

    def apply(self, image: Picture, plan: Any, *, seed: int, settings: Any) -> list[Edit]:
        edits = []
        for k, step in enumerate(plan.steps):
            found = self.ground(image, step.find)
            request = make_request(
                step.action, find=step.find, paint=step.paint, seed=seed + k, settings=settings
            )
            edits.append(self.paint(image, request, None, found))
            image = dataclasses.replace(image, pixels=edits[-1].image)
        return edits

    def ground_all(self, image: Any, sentence: str) -> PanopticGrounding:
        picture = open_picture(image)
        self.calls.append(("ground-all", sentence))
        _raise(sentence)
        mask = spot(picture.pixels.shape[:2], sentence)
        one = Instance(mask, (0.0, 0.0, 4.0, 4.0), 0.5, 1)
        segment = Segment(
            "the thing", (0, 3), "thing", True, False, mask, 0.5, "found", "there", (one,), (1,)
        )
        return PanopticGrounding(sentence, (segment,), mask.astype(np.int32))


def spot(shape: tuple[int, int], words: str) -> np.ndarray:
    """A rectangle that the words choose."""
    top, left = (b % 5 + 1 for b in hashlib.sha256(words.encode()).digest()[:2])
    mask = np.zeros(shape, bool)
    mask[top : top + 5, left : left + 6] = True
    return mask


def _raise(words: str) -> None:
    if "refused" in words:
        raise GroundbrushError(f"{words!r} given; expected other words; change them")
    if "explode" in words:
        raise RuntimeError("a model broke\nin two lines")


def picture_file(path: Path, seed: int = 0, size: tuple[int, int] = (16, 12)) -> Path:
    """A small picture of noise."""
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def mixed_manifest(folder: Path, rows: int = 40) -> Path:
    """A manifest of every kind of row and of every way to end, over a few pictures."""
    kinds: list[dict[str, Any]] = [
        {"find": "the cup", "paint": "a vase"},
        {"remove": "the plate"},
        {"find": "the dog"},
        {"find": "the absent cat", "paint": "a hat"},
        {"find": "the ambiguous hat", "paint": "a cap", "variants": 2},
        {"find": "the uncertain car", "paint": "a bus", "gate": "paint"},
        {"find": "the ship", "paint": "a boat", "variants": 2, "seed": 5},
        {"ground_all": "a ship and a cup"},
        {"find": "the refused word", "paint": "a boat"},
        {"find": "the lamp", "paint": "explode"},
    ]
    lines = []
    for number in range(rows):
        image = picture_file(folder / f"pictures/{number % 7}.png", number % 7)
        row = {"image": image.relative_to(folder).as_posix(), **kinds[number % len(kinds)]}
        lines.append(json.dumps(row))
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def outputs(out: Path) -> dict[str, bytes]:
    """Every file a user sees, with what changes from run to run taken out of the results."""
    files = {
        p.relative_to(out).as_posix(): p.read_bytes()
        for p in sorted(out.rglob("*"))
        if p.is_file() and ".batch" not in p.relative_to(out).parts
    }
    files["results.jsonl"] = json.dumps(results(out, seconds=False)).encode()
    return files


def results(out: Path, *, seconds: bool = True) -> list[dict[str, Any]]:
    """The rows of ``results.jsonl``."""
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    return rows if seconds else [{**row, "seconds": sorted(row["seconds"])} for row in rows]
