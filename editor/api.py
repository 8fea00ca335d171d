"""The Python API: find it in words, paint something else, touch nothing more.

>>> from editor import Editor                                               # doctest: +SKIP
>>> editor = Editor.load("miniature")                                       # doctest: +SKIP
>>> edit = editor.edit("photo.png", "the red apple", "a green pear", seed=7)  # doctest: +SKIP
>>> edit.save("out/photo.png")                                              # doctest: +SKIP
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..grounding.errors import GroundingError
from ..inpaint.paste.composite import same_pixels
from .editing.pipeline import Callbacks, Cancelled, OnPreview, OnStep, Spares, find_spares, paint
from .editing.region import find_place
from .editing.result import Edit
from .errors import GroundbrushError, translate
from .masks.history import MaskHistory
from .masks.operations import Feather, Operation
from .masks.source import MaskSource, encode_mask, read_mask
from .models.models import Models, OnLoad
from .models.presets import Preset, load_preset
from .models.vocabulary import plain_phrase
from .pictures.picture import Picture, Source, open_picture
from .request import check_words, make_request, read_request

if TYPE_CHECKING:
    from ..grounding.result import Grounding
    from ..grounding.view import View
    from ..multiobject import PanopticGrounding
    from .plan import Plan
    from .plan.apply import OnEdit

Boxes = Sequence[float] | Sequence[Sequence[float]]
Operations = Sequence[Operation | Mapping[str, Any]]


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
        memory: str | None = None,
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
        memory
            Where the models stay: ``resident`` on the accelerator, in turns (``swap``), their parts
            in turns (``offload``) or layer by layer (``sequential``); ``auto`` takes the first that
            fits. None: as the preset says.
        on_load
            Called with one line of words before each model is loaded.

        Raises
        ------
        GroundbrushError
            For an unknown preset, device or memory mode.
        """
        return cls(
            Models(
                load_preset(preset), device=device, offline=offline, on_load=on_load, memory=memory
            )
        )

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

    def ground_all(
        self, image: Source, sentence: str, *, mode: str = "phrases"
    ) -> PanopticGrounding:
        """Find everything that a sentence names.

        Parameters
        ----------
        image
            A path, ``PIL.Image`` or ``(H, W, 3)`` uint8 array.
        sentence
            English text, such as "a dog next to two red cars".
        mode
            ``phrases``: each noun phrase asks for itself; ``caption``: the whole sentence is read
            once and each phrase is the mean of its words (the paper's way).

        Returns
        -------
        multiobject.PanopticGrounding
            One segment for each noun phrase; what is not there is reported and not painted.

        Raises
        ------
        GroundbrushError
            For a picture or sentence that cannot be read.
        """
        from .plan.apply import everything

        return everything(self, open_picture(image), sentence, mode)

    def apply(
        self,
        image: Source,
        sentence: str | Plan,
        *,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        on_edit: OnEdit | None = None,
        on_step: OnStep | None = None,
        cancelled: Cancelled | None = None,
        on_preview: OnPreview | None = None,
    ) -> list[Edit]:
        """Do what a sentence asks for, or a plan.

        Parameters
        ----------
        image
            A path, ``PIL.Image`` or ``(H, W, 3)`` uint8 array.
        sentence
            English, such as "replace the dog with a cat and remove the cup"; or the
            :class:`editor.Plan` that ``editor.read_plan(sentence)`` gives, changed as you like.
        seed
            Of the first edit; each further one has the next number.
        settings
            As for :meth:`edit`, for every step.
        on_edit
            Called as ``on_edit(number, step, edit)`` after each edit.
        on_step, cancelled, on_preview
            As for :meth:`edit`.

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

        plan = read_plan(sentence) if isinstance(sentence, str) else sentence
        return apply_plan(
            self,
            open_picture(image),
            plan,
            seed=seed,
            settings=settings,
            on_edit=on_edit,
            callbacks=Callbacks(on_step, cancelled, on_preview),
        )

    def edit(
        self,
        image: Source,
        find: str | None = None,
        paint: str | None = None,
        *,
        mask: MaskSource | MaskHistory | None = None,
        box: Boxes | None = None,
        snap: bool = False,
        operations: Operations = (),
        check: bool | str = False,
        retries: int = 0,
        draft: bool = False,
        seed: int = 0,
        variants: int = 1,
        candidate: int | None = None,
        settings: Mapping[str, Any] | None = None,
        on_step: OnStep | None = None,
        cancelled: Cancelled | None = None,
        on_preview: OnPreview | None = None,
    ) -> Edit:
        """Repaint what a phrase names, or a place you give, and nothing else.

        Parameters
        ----------
        image
            A path, ``PIL.Image`` or ``(H, W, 3)`` uint8 array.
        find, paint
            What to replace, and what to paint instead.
        mask
            Where to paint instead of looking for `find`: a mask file, image or ``(H, W)`` array,
            or a `MaskHistory`. It is the support as it stands, and does not grow by itself.
        box
            The same as xyxy in pixels, one or several.
        snap
            Take the object in each box, by the segmenter, not the rectangle.
        operations
            Done on the mask in order, however it came about: see `editor.masks.operations`.
        check
            Let the model look for what was painted (True) or for this phrase; the variants are
            then ranked, the best first, and `Edit.checks` says whether it was found.
        retries
            With `check`, so many further seeds are tried while none passes.
        draft
            Few steps: a quick look.
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
        on_preview
            Called as ``on_preview(step, total, image)`` a few times while painting.

        Returns
        -------
        Edit
            With ``done=False`` and the picture unchanged when the phrase is absent.

        Raises
        ------
        GroundbrushError
            For bad input, or a model that failed.
        """
        picture = None if mask is None else open_picture(image)
        request = make_request(
            "edit",
            find=find,
            paint=paint,
            seed=seed,
            variants=variants,
            candidate=candidate,
            settings=settings,
            check=check,
            retries=retries,
            draft=draft,
            **_placed(picture, mask, box, snap, operations),
        )
        return self._paint(picture or image, request, Callbacks(on_step, cancelled, on_preview))

    def remove(
        self,
        image: Source,
        find: str | None = None,
        *,
        mask: MaskSource | MaskHistory | None = None,
        box: Boxes | None = None,
        snap: bool = False,
        operations: Operations = (),
        check: bool | str = True,
        retries: int = 3,
        draft: bool = False,
        seed: int = 0,
        variants: int = 1,
        candidate: int | None = None,
        settings: Mapping[str, Any] | None = None,
        on_step: OnStep | None = None,
        cancelled: Cancelled | None = None,
        on_preview: OnPreview | None = None,
    ) -> Edit:
        """Paint the background over what a phrase names, or over a place you give.

        The phrase is then looked for again; while it is still found there, up to `retries` more
        seeds are tried, and the best is kept. `Edit.checks` says whether it is gone. With a mask
        or box, `find` (or `check`, as words) says what must be gone; without words nothing is
        checked. Other arguments as for :meth:`edit`.
        """
        picture = None if mask is None else open_picture(image)
        request = make_request(
            "remove",
            find=find,
            paint=None,
            seed=seed,
            variants=variants,
            candidate=candidate,
            settings=settings,
            check=check,
            retries=retries if check else 0,
            draft=draft,
            **_placed(picture, mask, box, snap, operations),
        )
        return self._paint(picture or image, request, Callbacks(on_step, cancelled, on_preview))

    def extend(
        self,
        image: Source,
        paint: str | None = None,
        *,
        left: int = 0,
        top: int = 0,
        right: int = 0,
        bottom: int = 0,
        check: bool | str = False,
        retries: int = 0,
        draft: bool = False,
        seed: int = 0,
        variants: int = 1,
        settings: Mapping[str, Any] | None = None,
        on_step: OnStep | None = None,
        cancelled: Cancelled | None = None,
        on_preview: OnPreview | None = None,
    ) -> Edit:
        """Add to a picture's sides and paint what could be there.

        Parameters
        ----------
        image
            As for :meth:`edit`.
        paint
            What to paint there; None: the preset's words for background.
        left, top, right, bottom
            Pixels to add.
        check, retries, draft, seed, variants, settings, on_step, cancelled, on_preview
            As for :meth:`edit`.

        Returns
        -------
        Edit
            Of the larger picture. The seam lies inside the old one: its support reaches
            ``settings["dilate"]`` pixels (8) into it; all its other pixels are kept.
        """
        sides = {"left": left, "top": top, "right": right, "bottom": bottom}
        request = make_request(
            "extend",
            find=None,
            paint=paint,
            seed=seed,
            variants=variants,
            settings=settings,
            check=check,
            retries=retries,
            draft=draft,
            extend=sides,
        )
        return self._paint(image, request, Callbacks(on_step, cancelled, on_preview))

    def mask(
        self,
        image: Source,
        find: str | None = None,
        *,
        mask: MaskSource | MaskHistory | None = None,
        box: Boxes | None = None,
        snap: bool = False,
        operations: Operations = (),
        candidate: int | None = None,
    ) -> MaskHistory:
        """What :meth:`edit` would paint over, to look at and to change.

        Returns
        -------
        MaskHistory
            ``.mask`` is ``(H, W)`` bool; ``.do(operation)``, ``.undo()`` and ``.redo()`` give new
            ones; pass it to :meth:`edit` as `mask`.

        Examples
        --------
        >>> from editor.masks import Points, Shadow                          # doctest: +SKIP
        >>> history = editor.mask("photo.png", "the red apple")              # doctest: +SKIP
        >>> history = history.do(Shadow()).do(Points(((120, 80),)))          # doctest: +SKIP
        >>> editor.edit("photo.png", paint="a pear", mask=history.undo())    # doctest: +SKIP
        """
        picture = open_picture(image)
        request = make_request(
            "remove",
            find=find,
            paint=None,
            candidate=candidate,
            **_placed(picture, mask, box, snap, operations),
        )
        return find_place(self, picture, request).history

    def run(
        self,
        recipe: Mapping[str, Any] | str | os.PathLike[str],
        image: Source | None = None,
        *,
        on_step: OnStep | None = None,
        cancelled: Cancelled | None = None,
        on_preview: OnPreview | None = None,
    ) -> Edit:
        """Do an edit again from its recipe, with those before it where it names some.

        Parameters
        ----------
        recipe
            From :meth:`Edit.recipe`, or a file saved by :meth:`Edit.save`.
        image
            The picture; by default the one that the (first) recipe names, which must still be the
            same.
        on_step, cancelled, on_preview
            As for :meth:`edit`.

        Raises
        ------
        GroundbrushError
            When the recipe is not one, is of another preset, or its picture has changed.
        """
        from .editing.rerun import rerun

        request = read_request(recipe)
        return rerun(self, request, image, Callbacks(on_step, cancelled, on_preview))

    def look(self, picture: Picture) -> View:
        """The picture as the models read it; kept until another one comes."""
        with self._lock:
            if self._seen is None or not same_pixels(self._seen[0], picture.pixels):
                grounder = self.models.grounder()
                view = self.models.looking(lambda: grounder.look(picture.pixels))
                self._seen = (picture.pixels, view)
            return self._seen[1]

    def check_find(self, phrase: str, *, load: bool = True) -> str:
        """A phrase with its white space tidied, or GroundbrushError for words not known.

        `load` False asks the tokenizer alone and loads no model.
        """
        phrase = plain_phrase(check_words("find", phrase))
        with translate(GroundingError):
            reader = self.models.grounder().lvlm if load else self.models.reader()
            unknown = reader.unknown_words(phrase)
        if unknown and self.models.words:
            raise GroundbrushError(self.models.words.refusal(unknown, "find"))
        return phrase

    def _find(self, picture: Picture, phrase: str) -> Grounding:
        phrase = self.check_find(phrase)
        grounder, view = self.models.grounder(), self.look(picture)
        return self.models.looking(lambda: grounder.ground(view, phrase))

    def _paint(
        self,
        image: Source,
        request: dict[str, Any],
        callbacks: Callbacks,
        grounding: Grounding | None = None,
        spares: Spares | None = None,
    ) -> Edit:
        """Complete a request with its picture and preset, and do it."""
        if self.models.words and request["paint"] is not None:
            self.models.words.check_prompt(request["paint"])
        request = {**request, "preset": self.preset.name}
        request.pop("image", None)  # of a recipe; this picture's is told when a recipe is asked for
        return paint(self, open_picture(image), request, callbacks, grounding, spares)

    def _spares(
        self, picture: Picture, request: Mapping[str, Any], grounding: Grounding
    ) -> dict[str, np.ndarray | None]:
        """What `_paint` will spare, found before it is called."""
        return find_spares(self, picture, request, grounding)


def _placed(
    picture: Picture | None,
    mask: MaskSource | MaskHistory | None,
    box: Boxes | None,
    snap: bool,
    operations: Operations,
) -> dict[str, Any]:
    """The part of a request that says where."""
    operations = list(operations)
    encoded = None
    if isinstance(mask, MaskHistory):
        if mask.feather is not None:
            operations.insert(0, Feather(mask.feather))
        mask = mask.mask
    if mask is not None and picture is not None:
        encoded = encode_mask(read_mask(mask, picture.size))
    return {"mask": encoded, "boxes": box, "snap": snap, "operations": operations}
