"""Segment all things a sentence names, as COCO panoptic: python examples/several_things.py"""

import json
from pathlib import Path

from groundbrush import Editor
from groundbrush.multiobject.export.coco import coco_panoptic

PICTURE = Path(__file__).parent / "fruit.png"
OUT = Path("out")

editor = Editor.load("miniature")
found = editor.ground_all(PICTURE, "the red apple, a banana, the car and a dog")
for segment in found.segments:
    print(f"{segment.phrase}: {segment.status} {segment.ids}")

panoptic = coco_panoptic(found, file_name=PICTURE.name)
OUT.mkdir(exist_ok=True)
(OUT / "fruit.panoptic.png").write_bytes(panoptic.png())
(OUT / "fruit.panoptic.json").write_text(json.dumps(panoptic.document), encoding="utf-8")
