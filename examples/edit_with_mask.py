"""Correct a mask, paint inside it and compare pixels: python examples/edit_with_mask.py"""

from pathlib import Path

import numpy as np
from groundbrush import Editor
from groundbrush.editor.masks.operations import Boxes, Dilate
from PIL import Image

PICTURE = Path(__file__).parent / "fruit.png"

editor = Editor.load("miniature")
history = editor.mask(PICTURE, "the red apple")
history = history.do(Dilate(3))
history = history.do(Boxes(((20, 20, 60, 50),))).undo()  # a mistake, undone

edit = editor.edit(PICTURE, paint="a green pear", mask=history, seed=7)
edit.save("out/masked.png")

changed = (np.asarray(edit.image) != np.asarray(Image.open(PICTURE).convert("RGB"))).any(axis=2)
print(f"{changed.sum()} pixels changed, {(changed & ~edit.support).sum()} outside the support")
