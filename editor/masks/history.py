"""Mask operations one after the other, with undo and redo.

>>> from editor.masks import Boxes, Dilate
>>> mask = np.zeros((9, 9), bool)
>>> history = MaskHistory.start(mask).do(Boxes(((3, 3, 6, 6),))).do(Dilate(1))
>>> int(history.mask.sum()), int(history.undo().mask.sum())
(21, 9)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ...inpaint.callbacks import check_cancelled
from ..errors import GroundbrushError
from .operations import Feather, Invert, MaskScene, Operation, Spare, read_operation
from .source import decode_mask, encode_mask


@dataclass(frozen=True, eq=False)
class MaskHistory:
    """A mask, how it was made, and what was undone. Every method gives a new history.

    Attributes
    ----------
    states : The mask before the first operation, then after each; each ``(H, W)`` bool.
    operations : What was done, one fewer than `states`.
    undone : What `redo` would do, the next first.
    """

    states: tuple[np.ndarray, ...]
    operations: tuple[Operation, ...] = ()
    undone: tuple[Operation, ...] = ()
    scene: MaskScene = field(default_factory=MaskScene)

    @classmethod
    def start(cls, mask: np.ndarray, scene: MaskScene | None = None) -> MaskHistory:
        """A history of one mask, ``(H, W)`` bool."""
        if not isinstance(mask, np.ndarray) or mask.ndim != 2 or mask.dtype != np.bool_:
            raise GroundbrushError(f"a mask of {type(mask).__name__} given; expected (H, W) bool")
        return cls((mask.copy(),), scene=scene or MaskScene())

    @property
    def mask(self) -> np.ndarray:
        """The mask as it now is, ``(H, W)`` bool."""
        return self.states[-1]

    @property
    def taken(self) -> np.ndarray:
        """What operations took out of the mask and none put back, ``(H, W)`` bool.

        That is what was there at first, what was subtracted or spared, and where the mask was
        inverted what it then was. What one operation added and another took away again (a closing)
        is not.
        """
        out = self.states[0].copy()
        inverted = False
        for operation, (before, after) in zip(self.operations, pairwise(self.states), strict=True):
            if isinstance(operation, Invert):
                inverted = not inverted
                out = before | self.states[0] if inverted else self.states[0].copy()
            elif getattr(operation, "how", None) == "subtract":
                out |= before & ~after
            elif isinstance(operation, Spare):
                out |= decode_mask(operation.mask)
        return out & ~self.mask

    @property
    def feather(self) -> int | None:
        """Pixels of the last `Feather`, or None."""
        return next((o.pixels for o in reversed(self.operations) if isinstance(o, Feather)), None)

    def do(self, operation: Operation | Mapping[str, Any]) -> MaskHistory:
        """The history with one more operation; what was undone is forgotten."""
        return dataclasses.replace(self._done(read_operation(operation)), undone=())

    def undo(self) -> MaskHistory:
        """The history without its last operation; itself where there is none."""
        if not self.operations:
            return self
        return dataclasses.replace(
            self,
            states=self.states[:-1],
            operations=self.operations[:-1],
            undone=(self.operations[-1], *self.undone),
        )

    def redo(self) -> MaskHistory:
        """The history with the last undone operation again; itself where there is none."""
        if not self.undone:
            return self
        return dataclasses.replace(self._done(self.undone[0]), undone=self.undone[1:])

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a session or recipe."""
        return {
            "base": encode_mask(self.states[0]),
            "operations": [o.as_dict() for o in self.operations],
            "undone": [o.as_dict() for o in self.undone],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], scene: MaskScene | None = None) -> MaskHistory:
        """The history that `as_dict` wrote, every operation done again."""
        history = cls.start(decode_mask(values.get("base", {})), scene)
        for operation in values.get("operations", ()):
            history = history.do(operation)
        undone = tuple(read_operation(o) for o in values.get("undone", ()))
        return dataclasses.replace(history, undone=undone)

    def _done(self, operation: Operation) -> MaskHistory:
        check_cancelled()
        mask = operation.apply(self.mask, self.scene)
        return dataclasses.replace(
            self, states=(*self.states, mask), operations=(*self.operations, operation)
        )
