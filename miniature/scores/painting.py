"""Painting: replace and remove with the true mask given, judged by the miniature LVLM."""

from __future__ import annotations

import numpy as np
import torch

from ...editor.api import Editor
from ...grounding.attention.model import LVLM
from ...grounding.view import View
from ...inpaint import Fill, fill
from ..scenes import Scene, compose
from ..vocabulary import load_vocabulary
from .journal import Record


def edit_of(seed: int) -> tuple[Scene, int, str, str | None] | None:
    """A scene, which of its objects goes, what comes instead and in which paint colour.

    None where the object has a twin: then "the old one is gone" could not be checked.
    """
    scene, rng = compose("heldout", 50_000 + seed), np.random.default_rng([37, seed])
    target = int(rng.integers(len(scene.objects)))
    nouns = [o.noun for o in scene.objects]
    if nouns.count(nouns[target]) > 1:
        return None
    kinds = [k for k in load_vocabulary().objects if k.noun not in nouns]
    if rng.random() < 0.5:  # half of the edits name a colour, though few things come in all
        kinds = [k for k in kinds if k.paintable] or kinds
    kind = kinds[rng.integers(len(kinds))]
    colours = load_vocabulary().paint_colours
    return scene, target, kind.noun, colours[rng.integers(len(colours))] if kind.paintable else None


def paint(editor: Editor, scene: Scene, target: int, said: str | None, seed: int) -> Fill:
    """Paint `said` (None: the background) over an object's true mask, as the preset is set."""
    models, removing = editor.models, said is None
    settings = models.inpaint_settings(removing=removing, changes={})
    return fill(
        models.inpainter(),
        scene.image,
        scene.mask(target),
        said or models.removal_prompt,
        seed=seed,
        settings=settings,
    )


def painting(editor: Editor, seed: int) -> list[Record]:
    """One edit and one removal: is the new phrase found in the hole, the old one gone?"""
    chosen = edit_of(seed)
    if chosen is None:
        return []
    scene, target, noun, colour = chosen
    old, said = scene.objects[target].noun, f"{colour} {noun}" if colour else noun
    painted = paint(editor, scene, target, said, seed)
    gone, grounder = paint(editor, scene, target, None, seed), editor.models.grounder()
    view = grounder.look(painted.image)
    new, before = grounder.ground_many(view, [f"the {noun}", f"the {old}"])
    inside = (new.mask & painted.support).sum() > 0.5 * max(1, new.mask.sum())
    after = grounder.ground(grounder.look(gone.image), f"the {old}")
    record: Record = {
        "seed": seed,
        "noun": noun,
        "colour": colour,
        "old": old,
        "new_in_hole": bool(new.found and inside),
        "old_gone": not before.found,
        "removed": not after.found,
        "preserved": bool((painted.image == scene.image)[~painted.support].all()),
    }
    if colour:
        record["colour_right"] = colour_seen(view, grounder.lvlm, noun) == colour
    return [record]


def judging(editor: Editor, seed: int) -> list[Record]:
    """The judge's own ceiling: the same questions about a scene in which the object truly stands.

    The edit's new noun is queried where it was drawn, not painted; the old one where it is not.
    """
    scene = compose("heldout", 80_000 + seed)
    rng = np.random.default_rng([47, seed])
    target = int(rng.integers(len(scene.objects)))
    nouns = [o.noun for o in scene.objects]
    if nouns.count(nouns[target]) > 1:
        return []
    others = [n for n in load_vocabulary().nouns if n not in nouns]
    grounder = editor.models.grounder()
    asked = [f"the {nouns[target]}", f"the {others[rng.integers(len(others))]}"]
    view = grounder.look(scene.image)
    there, absent = grounder.ground_many(view, asked)
    truth = scene.mask(target)
    record: Record = {
        "judge_finds": bool(there.found and (there.mask & truth).sum() > 0.5 * there.mask.sum()),
        "judge_denies": not absent.found,
    }
    paintable = {kind.noun for kind in load_vocabulary().objects if kind.paintable}
    if nouns[target] in paintable:
        seen = colour_seen(view, grounder.lvlm, nouns[target])
        record["judge_colour"] = seen == scene.objects[target].colour
    return [record]


def colour_seen(view: View, lvlm: LVLM, noun: str) -> str:
    """The paint colour in which the LVLM is surest that the thing is there."""
    colours = load_vocabulary().paint_colours
    said = lvlm.presence(view.encoded, [f"the {colour} {noun}" for colour in colours])
    return colours[int(np.argmax(said))]


def reconstruction(editor: Editor, seed: int) -> list[Record]:
    """PSNR in dB of a held-out scene encoded and decoded: its middle 128 pixels, and the whole."""
    vae, image = editor.models.inpainter().pipe.vae, compose("heldout", 90_000 + seed).image
    whole = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    out: Record = {}
    for name, pixels in (("crop", whole[..., 64:192, 64:192]), ("scene", whole)):
        with torch.inference_mode():
            back = vae.decode(vae.encode(pixels).latent_dist.mode()).sample.clamp(-1, 1)
        error = float(((back - pixels) / 2).square().mean())
        out[name] = 10 * float(np.log10(1 / max(error, 1e-12)))
    return [out]
