"""The Python API: find it in words, paint something else, touch nothing more.

>>> from groundbrush import Editor                                          # doctest: +SKIP
>>> editor = Editor.load("miniature")                                       # doctest: +SKIP
>>> edit = editor.edit("photo.png", "the red apple", "a green pear", seed=7)  # doctest: +SKIP
>>> edit.save("out/photo.png")                                              # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from .editing.pipeline import Callbacks, Protected, find_protection, run_request
from .editing.region import find_region, unsearched
from .editing.rerun import rerun
from .editing.result import Edit
from .finder import Finder
from .masks.history import MaskHistory
from .masks.operations import Feather
from .masks.source import encode_mask, read_mask
from .models.downloads import OnDownload
from .models.models import Models, OnLoad
from .models.presets import Preset, load_preset
from .pictures.picture import Picture, Source, open_picture
from .request import (
    REMOVAL,
    CallbackOptions,
    EditOptions,
    EditRequest,
    PaintOptions,
    PlaceOptions,
    make_request,
    read_request,
)

if TYPE_CHECKING:
    from ..grounding.result import Grounding
    from ..multiobject import PanopticGrounding
    from .plan import Plan
    from .plan.apply import OnEdit


class Editor:
    """Finds things in pictures by words and repaints them.

    Made by `load`. One editor serves many pictures; the last picture's encoding is kept, so
    that further phrases about it are cheap.
    """

    def __init__(self, models: Models) -> None:
        self.models = models
        self.finder = Finder(models)

    @classmethod
    def load(
        cls,
        preset: str | os.PathLike[str] | Preset = "miniature",
        *,
        device: str = "auto",
        offline: bool = False,
        memory: str | None = None,
        on_load: OnLoad | None = None,
        on_download: OnDownload | None = None,
    ) -> Editor:
        """Return an editor with a preset's models, each loaded when first needed.

        Parameters
        ----------
        preset
            A name from ``groundbrush presets``, ``auto`` (the largest photograph preset that suits
            this machine), or a preset JSON of yours.
        device
            ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        offline
            Never use the network; models must then be folders or in the local cache.
        memory
            ``resident``: all models stay on the accelerator. ``swap``: finder and inpainter
            alternate on it. ``offload``: one component at a time. ``sequential``: one layer at a
            time. ``auto``: the first that fits. None: as the preset says.
        on_load
            Called with one line of words before each model is loaded.
        on_download
            Called with a `Download` before missing models are downloaded, which happens before the
            first is loaded; False refuses. None: it is described through `on_load`, or logged as a
            warning.

        Raises
        ------
        GroundbrushError
            For an unknown preset, device or memory mode.
        """
        options: dict[str, Any] = {"on_load": on_load, "on_download": on_download}
        loaded = load_preset(preset, device=device)
        return cls(Models(loaded, device=device, offline=offline, memory=memory, **options))

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
        return self.finder.ground(open_picture(image), phrase)

    def ground_all(
        self, image: Source, sentence: str, *, mode: str = "phrases"
    ) -> PanopticGrounding:
        """Find everything that a sentence names.

        Parameters
        ----------
        sentence
            English text, such as "a dog next to two red cars".
        mode
            ``phrases``: each noun phrase is a query of its own; ``caption``: the whole sentence is
            read once and each phrase is the mean of its words, as in the paper.

        Returns
        -------
        multiobject.PanopticGrounding
            One segment for each noun phrase; what is not there is reported and has no pixels.

        Raises
        ------
        GroundbrushError
            For a picture or sentence that cannot be read.
        """
        return self.finder.ground_all(open_picture(image), sentence, mode)

    def apply(
        self,
        image: Source,
        sentence: str | Plan,
        *,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        on_edit: OnEdit | None = None,
        **callbacks: Unpack[CallbackOptions],
    ) -> list[Edit]:
        """Make the changes of a sentence, or of a plan.

        Parameters
        ----------
        sentence
            English, such as "replace the dog with a cat and remove the cup"; or the
            `editor.Plan` that ``editor.read_plan(sentence)`` gives, changed as you like.
        seed
            Of the first edit; each further one has the next number.
        settings
            As for `edit`, for every step.
        on_edit
            Called as ``on_edit(number, step, edit)`` after each edit.
        **callbacks
            See `CallbackOptions`.

        Returns
        -------
        list of Edit
            In order; the last one's image is the result. ``done`` is False where a thing is not
            there.

        Raises
        ------
        GroundbrushError
            When a part of the sentence is not understood or has several meanings: the message
            names it, and nothing is painted.
        """
        from .plan.apply import apply_plan
        from .plan.reader import read_plan

        return apply_plan(
            self.finder,
            open_picture(image),
            read_plan(sentence) if isinstance(sentence, str) else sentence,
            seed=seed,
            settings=settings,
            on_edit=on_edit,
            callbacks=Callbacks(**callbacks),
        )

    def edit(
        self,
        image: Source,
        find: str | None = None,
        paint: str | None = None,
        **options: Unpack[EditOptions],
    ) -> Edit:
        """Repaint what a phrase names, or a place you give, and nothing else.

        Parameters
        ----------
        image
            A path, ``PIL.Image`` or ``(H, W, 3)`` uint8 array.
        find, paint
            What to replace, and what to paint instead.
        **options
            Where: ``mask``, ``box``, ``snap``, ``operations``, ``candidate``; see `PlaceOptions`.
            How: ``check``, ``retries``, ``draft``, ``seed``, ``variants``, ``settings``,
            ``on_step``, ``cancelled``, ``on_preview``; see `PaintOptions`.

        Returns
        -------
        Edit
            With ``done=False`` and the picture unchanged when the phrase is absent.

        Raises
        ------
        GroundbrushError
            For bad input, or a model that failed.
        """
        return self._run("edit", image, {"find": find, "paint": paint, **options})

    def remove(
        self, image: Source, find: str | None = None, **options: Unpack[EditOptions]
    ) -> Edit:
        """Paint the background over what a phrase names, or over a place you give.

        By default the result is verified (``check=True``): while the phrase is still found there,
        up to three more seeds are tried (``retries=3``), and the best is kept. `Edit.checks` says
        whether it is gone. With a mask or box, `find` (or `check`, as words) says what must be
        gone; without words nothing is verified. Options as for `edit`.
        """
        values = {"find": find, **REMOVAL, **options}
        return self._run("remove", image, values if values["check"] else {**values, "retries": 0})

    def extend(
        self,
        image: Source,
        paint: str | None = None,
        *,
        left: int = 0,
        top: int = 0,
        right: int = 0,
        bottom: int = 0,
        **options: Unpack[PaintOptions],
    ) -> Edit:
        """Add pixels to a picture's sides and paint what could be there.

        Parameters
        ----------
        paint
            What to paint there; None: the preset's words for background.
        left, top, right, bottom
            Pixels to add.
        **options
            See `PaintOptions`.

        Returns
        -------
        Edit
            Of the larger picture. The seam lies inside the old one: its support reaches
            ``settings["dilate"]`` pixels (8) into it; all its other pixels are kept.
        """
        sides = {"left": left, "top": top, "right": right, "bottom": bottom}
        return self._run("extend", image, {"paint": paint, "extend": sides, **options})

    def mask(
        self, image: Source, find: str | None = None, **options: Unpack[PlaceOptions]
    ) -> MaskHistory:
        """Return what `edit` would paint over, to look at and to change.

        Returns
        -------
        MaskHistory
            ``.mask`` is ``(H, W)`` bool; ``.do(operation)``, ``.undo()`` and ``.redo()`` give new
            ones; pass it to `edit` as `mask`.

        Examples
        --------
        >>> from groundbrush.editor.masks import Points, Shadow              # doctest: +SKIP
        >>> history = editor.mask("photo.png", "the red apple")              # doctest: +SKIP
        >>> history = history.do(Shadow()).do(Points(((120, 80),)))          # doctest: +SKIP
        >>> editor.edit("photo.png", paint="a pear", mask=history.undo())    # doctest: +SKIP
        """
        picture = open_picture(image)
        picture, place = _read_place(picture, dict(options))
        request = make_request("remove", find=find, **place)
        return find_region(self.finder, picture, request).history

    def run(
        self,
        recipe: Mapping[str, Any] | EditRequest | str | os.PathLike[str],
        image: Source | None = None,
        **callbacks: Unpack[CallbackOptions],
    ) -> Edit:
        """Do an edit again from its recipe, with those before it where it names some.

        Parameters
        ----------
        recipe
            From `Edit.recipe`, or a file saved by `Edit.save`.
        image
            The picture; by default the one that the (first) recipe names, which must still be the
            same.
        **callbacks
            See `CallbackOptions`.

        Raises
        ------
        GroundbrushError
            When the recipe is not one, is of another preset, or its picture has changed.
        """
        return rerun(self.finder, read_request(recipe), image, Callbacks(**callbacks))

    def paint(
        self,
        image: Source,
        request: EditRequest,
        callbacks: Callbacks | None = None,
        grounding: Grounding | None = None,
        protected: Protected | None = None,
    ) -> Edit:
        """Do one request, without those before it; see `editor.editing.pipeline.run_request`."""
        callbacks = callbacks or Callbacks()
        return run_request(self.finder, image, request, callbacks, grounding, protected)

    def find_protection(
        self, picture: Picture, request: EditRequest, grounding: Grounding
    ) -> Protected:
        """Find in advance what `paint` will spare, so that painting needs no finder."""
        return find_protection(self.finder, picture, request, grounding)

    def check_find(self, phrase: str, *, load: bool = True) -> str:
        """Return a phrase tidied, or raise for unknown words; see `Finder.check_phrase`."""
        return self.finder.check_phrase(phrase, load=load)

    def _run(self, action: str, image: Source, values: dict[str, Any]) -> Edit:
        """Make a request of a method's arguments, and do it."""
        names = CallbackOptions.__annotations__
        callbacks = Callbacks(**{name: values.pop(name) for name in names if name in values})
        if values.get("mask") is not None:
            image = open_picture(image)
        image, values = _read_place(image, values)
        request = make_request(action, **values)
        if note := unsearched(request):
            image = open_picture(image)
            image = replace(image, notes=(*image.notes, note))
        return self.paint(image, request, callbacks)


def _read_place(image: Any, values: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The options with mask and box as a request has them; with a mask, `image` is a `Picture`.

    The picture comes back with notes about how the mask was read.
    """
    mask, boxes = values.pop("mask", None), values.pop("box", None)
    if isinstance(mask, MaskHistory):
        if mask.feather is not None:
            values["operations"] = [Feather(mask.feather), *values.get("operations", ())]
        mask = mask.mask
    if mask is not None:
        drawn, notes = read_mask(mask, image.size)
        values["mask"] = encode_mask(drawn)
        image = replace(image, notes=(*image.notes, *notes)) if notes else image
    return image, values if boxes is None else {**values, "boxes": boxes}
