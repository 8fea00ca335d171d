"""The Python API: find it in words, paint something else, touch nothing more.

>>> from editor import Editor                                               # doctest: +SKIP
>>> editor = Editor.load("miniature")                                       # doctest: +SKIP
>>> edit = editor.edit("photo.png", "the red apple", "a green pear", seed=7)  # doctest: +SKIP
>>> edit.save("out/photo.png")                                              # doctest: +SKIP
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from editor.edit import Edit, Variant
from editor.errors import GroundbrushError, translate
from editor.images import Picture, Source, open_picture
from editor.models import Models, OnLoad
from editor.presets import Preset, load_preset
from editor.recipe import check_words, make_request, read_request
from grounding.errors import GroundingError
from inpaint.errors import InpaintError

if TYPE_CHECKING:
    from grounding.ground import View
    from grounding.result import Grounding

OnStep = Callable[[int, int], None]
Cancelled = Callable[[], bool] | threading.Event


class Editor:
    """Finds things in pictures by words and repaints them.

    Made by :meth:`load`. One editor serves many pictures; the last picture looked at is kept, so
    that further phrases about it are cheap.
    """

    def __init__(self, models: Models) -> None:
        self.models = models
        self._seen: tuple[np.ndarray, View] | None = None
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        preset: str | os.PathLike[str] | Preset = "miniature",
        *,
        device: str = "auto",
        offline: bool = False,
        on_load: OnLoad | None = None,
    ) -> Editor:
        """An editor with a preset's models, each loaded when first needed.

        Parameters
        ----------
        preset
            A name from ``groundbrush presets`` or a preset JSON of yours.
        device
            ``auto``, ``cpu``, ``cuda`` or ``mps``.
        offline
            Never ask the network; models must then be folders or in the local cache.
        on_load
            Called with one line of words before each model is loaded.

        Raises
        ------
        GroundbrushError
            For an unknown preset or device.
        """
        return cls(Models(load_preset(preset), device=device, offline=offline, on_load=on_load))

    @property
    def preset(self) -> Preset:
        """The preset in use."""
        return self.models.preset

    def ground(self, image: Source, phrase: str) -> Grounding:
        """Find what a phrase names.

        Parameters
        ----------
        image
            A path, ``PIL.Image`` or ``(H, W, 3)`` uint8 array.
        phrase
            A referring expression, such as "the red apple on the left".

        Returns
        -------
        grounding.Grounding
            Its status is ``absent`` when the thing is not there: that is an answer, not an error.

        Raises
        ------
        GroundbrushError
            For a picture that cannot be read, or an empty, overlong or unknown phrase.
        """
        return self._find(open_picture(image), phrase)

    def edit(
        self,
        image: Source,
        find: str,
        paint: str,
        *,
        seed: int = 0,
        variants: int = 1,
        candidate: int | None = None,
        settings: Mapping[str, Any] | None = None,
        on_step: OnStep | None = None,
        cancelled: Cancelled | None = None,
    ) -> Edit:
        """Repaint what a phrase names, and nothing else.

        Parameters
        ----------
        image
            A path, ``PIL.Image`` or ``(H, W, 3)`` uint8 array.
        find, paint
            What to replace, and what to paint instead.
        seed
            Same recipe, same machine, same pixels. Variant k has seed + k.
        variants
            How many paintings, 1 to 16.
        candidate
            Take this one of the grounding's candidates (0-based) instead of its first choice.
        settings
            Fields of ``inpaint.InpaintSettings`` that differ from the preset's.
        on_step
            Called as ``on_step(step, total)`` while painting.
        cancelled
            Asked between steps; painting then raises ``inpaint.Cancelled``.

        Returns
        -------
        Edit
            With ``done=False`` and the picture unchanged when the phrase is absent.

        Raises
        ------
        GroundbrushError
            For bad input, or a model that failed.
        """
        request = make_request("edit", find=find, paint=paint, seed=seed, variants=variants,
                               candidate=candidate, settings=settings)  # fmt: skip
        return self._paint(image, request, on_step, cancelled)

    def remove(
        self,
        image: Source,
        find: str,
        *,
        seed: int = 0,
        variants: int = 1,
        candidate: int | None = None,
        settings: Mapping[str, Any] | None = None,
        on_step: OnStep | None = None,
        cancelled: Cancelled | None = None,
    ) -> Edit:
        """Paint the background over what a phrase names; arguments as for :meth:`edit`."""
        request = make_request("remove", find=find, paint=None, seed=seed, variants=variants,
                               candidate=candidate, settings=settings)  # fmt: skip
        return self._paint(image, request, on_step, cancelled)

    def run(
        self,
        recipe: Mapping[str, Any] | str | os.PathLike[str],
        image: Source | None = None,
        *,
        on_step: OnStep | None = None,
        cancelled: Cancelled | None = None,
    ) -> Edit:
        """Do an edit again from its recipe.

        Parameters
        ----------
        recipe
            From :meth:`Edit.recipe`, or a file saved by :meth:`Edit.save`.
        image
            The picture; by default the one the recipe names, which must still be the same.
        on_step, cancelled
            As for :meth:`edit`.

        Raises
        ------
        GroundbrushError
            When the recipe is not one, is of another preset, or its picture has changed.
        """
        request = read_request(recipe)
        if request.get("preset") not in (None, self.preset.name):
            raise GroundbrushError(
                f"the recipe is of preset {request['preset']!r} and this editor uses "
                f"{self.preset.name!r}; Editor.load({request['preset']!r}) runs it"
            )
        source = request["image"].get("path") if image is None else image
        if source is None:
            raise GroundbrushError("the recipe names no picture file; give the picture as well")
        picture = open_picture(source)
        told = request["image"].get("sha256")
        if told not in (None, _digest(picture)):
            raise GroundbrushError(
                f"{picture.source or 'the picture'} has other pixels than the recipe was made "
                "from; give the original picture"
            )
        return self._paint(picture, request, on_step, cancelled)

    def _find(self, picture: Picture, phrase: str) -> Grounding:
        phrase = check_words("find", phrase)
        grounder = self.models.grounder()
        with translate(GroundingError):
            unknown = grounder.lvlm.unknown_words(phrase)
            if unknown and self.models.words:
                raise GroundbrushError(self.models.words.refusal(unknown, "find"))
            return grounder.ground(self._look(picture), phrase)

    def _look(self, picture: Picture) -> View:
        """The picture as the models read it; kept until another one comes."""
        with self._lock:
            if self._seen is None or not np.array_equal(self._seen[0], picture.pixels):
                self._seen = (picture.pixels, self.models.grounder().look(picture.pixels))
            return self._seen[1]

    def _paint(
        self, image: Source, request: dict[str, Any], on_step: OnStep | None,
        cancelled: Cancelled | None,
    ) -> Edit:  # fmt: skip
        from inpaint.fill import fill

        if self.models.words and request["paint"] is not None:
            self.models.words.check_prompt(request["paint"])
        picture = open_picture(image)
        request = {**request, "preset": self.preset.name,
                   "image": {"path": str(picture.source) if picture.source else None,
                             "sha256": _digest(picture)}}  # fmt: skip
        removing = request["action"] == "remove"
        settings = self.models.inpaint_settings(
            removing=removing, changes=dict(request["settings"])
        )
        start = time.perf_counter()
        grounding = self._find(picture, request["find"])
        found = time.perf_counter()
        mask = _chosen_mask(grounding, request["candidate"])
        if not mask.any():
            return _undone(picture, grounding, settings.as_dict(), request)
        prompt = self.models.removal_prompt if removing else request["paint"]
        fills = []
        inpainter = self.models.inpainter()
        for seed in range(request["seed"], request["seed"] + request["variants"]):
            with translate(InpaintError):
                fills.append(fill(inpainter, picture.pixels, mask, prompt, seed=seed,
                                  settings=settings, on_step=on_step,
                                  cancelled=cancelled))  # fmt: skip
        timings = {"find": found - start, "paint": time.perf_counter() - found}
        doubt = () if grounding.status == "found" else (f"{grounding.status}: {grounding.reason}",)
        return Edit(
            done=True,
            image=fills[0].image,
            picture=picture,
            grounding=grounding,
            support=fills[0].support,
            settings=settings.as_dict(),
            seed=request["seed"],
            variants=tuple(Variant(f.image, f.seed) for f in fills),
            checks={"preserved": all(_preserved(picture, f) for f in fills)},
            notes=(*picture.notes, *doubt, *fills[0].notes),
            timings=timings,
            request=request,
        )


def _digest(picture: Picture) -> str:
    import hashlib

    shape = "x".join(map(str, picture.pixels.shape)).encode()
    return hashlib.sha256(shape + picture.pixels.tobytes()).hexdigest()


def _preserved(picture: Picture, filled: Any) -> bool:
    return bool((filled.image == picture.pixels)[~filled.support].all())


def _chosen_mask(grounding: Grounding, candidate: int | None) -> np.ndarray:
    """The grounding's mask, or that of one of its candidates at the picture's size."""
    if candidate is None:
        return grounding.mask
    if not 0 <= candidate < len(grounding.candidates):
        raise GroundbrushError(
            f"candidate {candidate} asked for; {grounding.phrase!r} has "
            f"{len(grounding.candidates)} candidates, counted from 0"
        )
    import cv2

    small = grounding.candidates[candidate].mask.astype(np.uint8)
    return cv2.resize(small, grounding.size_wh, interpolation=cv2.INTER_NEAREST).astype(bool)


def _undone(
    picture: Picture, grounding: Grounding, settings: dict[str, Any], request: dict[str, Any]
) -> Edit:
    """The answer when there is nothing to paint over."""
    return Edit(
        done=False,
        image=picture.pixels,
        picture=picture,
        grounding=grounding,
        support=np.zeros(picture.pixels.shape[:2], bool),
        settings=settings,
        seed=request["seed"],
        variants=(),
        checks={"preserved": True},
        notes=(*picture.notes, grounding.reason),
        timings=dict(grounding.timings),
        request=request,
    )
