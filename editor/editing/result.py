"""The result of an edit: it saves itself and gives its recipe. It edits nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ...inpaint.paste import is_preserved
from ..errors import GroundbrushError
from ..files import as_path, relative_path
from ..pictures.picture import Picture
from ..pictures.saving import save_picture
from ..request import EditRequest, PictureReference

if TYPE_CHECKING:
    from ...grounding.result import Grounding


@dataclass(frozen=True, eq=False)
class Variant:
    """One painting of the same place.

    Attributes
    ----------
    image : ``(H, W, 3)`` uint8.
    seed : That it was painted with.
    checks : ``passed`` (None where nothing was checked), ``score``, ``seam``, ``ring_colour``,
        ``words``: see `editor.editing.verify.Verdict`.
    """

    image: np.ndarray
    seed: int
    checks: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Edit:
    """What was painted, where, why there, and how to do it again.

    Attributes
    ----------
    done
        False when the phrase was not found; the image is then the input's.
    image
        ``(H, W, 3)`` uint8, the first variant.
    picture
        The input (where sides were added: with them, still unpainted), with the EXIF, XMP, ICC
        profile, alpha, resolution and texts that `save` keeps.
    grounding
        Where the phrase is and why; None when a mask or box was given instead of words.
    support
        ``(H, W)`` bool: outside it every pixel equals the input's.
    settings
        Of the inpainting, as plain values.
    seed
        Of the first variant; variants and retries count up from it.
    variants
        All paintings kept, the first one included: the best first where they were checked.
    checks
        ``preserved``: whether every variant equals the input outside the support. Of the first
        variant: ``seam`` and ``ring_colour`` (`inpaint.quality`, grey levels, 0 is best); where
        they were checked ``grounded`` (the new phrase is found in the hole) or ``gone`` (the
        removed one no longer is; None: several fitted and another one is still there, or what was
        spared beside it may be a part of it), and ``tries``, how many were painted. Of several
        things: ``found``, how many, and ``named``, how many the words say.
    notes
        What the user should know.
    timings
        Seconds by stage.
    request
        The recipe without the picture.
    given
        The picture as given, without new sides; None: it is `picture`.
    """

    done: bool
    image: np.ndarray
    picture: Picture
    grounding: Grounding | None
    support: np.ndarray
    settings: Mapping[str, Any]
    seed: int
    variants: tuple[Variant, ...]
    checks: Mapping[str, Any]
    notes: tuple[str, ...]
    timings: Mapping[str, float]
    request: EditRequest
    given: Picture | None = None

    @property
    def unmet(self) -> str:
        """Why not all that the request names was done, or empty.

        Nothing was painted; the check failed: a removed thing still stands, a new one is not found;
        or fewer were found than the words name ("both cups").
        """
        if not self.done:
            return self.notes[-1]
        found, named = self.checks.get("found"), self.checks.get("named", 0)
        if found is not None and found < named:
            return f"{found} found where the words say {named}"
        failed = self.checks.get("gone", self.checks.get("grounded")) is False
        return self.notes[-1] if failed else ""

    def recipe(self, folder: Path | None = None) -> dict[str, Any]:
        """Return everything `Editor.run` needs to do this again, as JSON values.

        With a folder, that the recipe will be saved in, it names the picture's file from there.
        """
        recipe = self.request.model_copy(update={"image": self._image}).as_dict()
        source = (self.given or self.picture).source
        if folder is not None and isinstance(source, Path):  # not a mere name, as of an upload
            for one in (recipe, *recipe.get("before", ())):
                if (one.get("image") or {}).get("path"):
                    one["image"]["path"] = relative_path(Path(one["image"]["path"]), folder)
        return recipe

    def request_for(self, variant: int = 0) -> EditRequest:
        """Return the request that gives one of the variants, and only that."""
        seed = self.variants[variant].seed
        batches = tuple(b for b in self.request.batches or () if 0 <= seed - b[0] < b[1])
        changes = {"seed": seed, "variants": 1, "retries": 0, "batches": batches or None}
        return self.request.model_copy(update={**changes, "image": self._image})

    @property
    def _image(self) -> PictureReference:
        picture = self.given or self.picture
        path = None if picture.source is None else str(picture.source)
        return PictureReference(path=path, sha256=picture.digest)

    def save(
        self, path: str | os.PathLike[str], variant: int = 0, *, relative: bool = True
    ) -> tuple[str, ...]:
        """Write a variant with all that the input's file carried and the recipe inside.

        The recipe names the input from the folder of `path`; with `relative` False, as it was
        given.

        Returns
        -------
        tuple of str
            Notes, such as that a JPEG is lossy.

        Raises
        ------
        GroundbrushError
            When a pixel outside the support differs from the input's, nothing was painted under
            that number, or the file cannot be written.
        """
        if not self.variants:
            raise GroundbrushError(
                f"nothing was painted, so there is nothing to save: {self.notes[-1]} (check "
                "edit.done first)"
            )
        if not 0 <= variant < len(self.variants):
            raise GroundbrushError(
                f"variant {variant} given; expected 0 to {len(self.variants) - 1}"
            )
        chosen = self.variants[variant]
        if not is_preserved(self.picture.pixels, chosen.image, self.support):
            changed = (chosen.image != self.picture.pixels).any(2) & ~self.support
            raise GroundbrushError(
                f"{int(changed.sum())} pixels outside the support differ from the input's; the "
                "picture was not saved: please report this"
            )
        painted = replace(self, request=self.request_for(variant))
        recipe = painted.recipe(as_path(path).parent if relative else None)
        if "batches" in recipe:  # last, as in all files so far
            recipe["batches"] = recipe.pop("batches")
        notes = save_picture(path, chosen.image, like=self.picture, recipe=recipe)
        source = (self.given or self.picture).source
        if isinstance(source, Path) and source.exists() and os.path.samefile(source, path):
            return (*notes, "the picture itself was overwritten: its recipe cannot be repeated")
        return notes

    def show(self) -> Image.Image:
        """The picture for a notebook or a viewer."""
        return Image.fromarray(self.image)
