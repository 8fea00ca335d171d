"""Find a thing and print where it is: python examples/find.py"""

from pathlib import Path

from groundbrush import Editor

PICTURES = Path(__file__).parent

editor = Editor.load("miniature")
for phrase in ("the red apple", "the car", "the dog"):
    found = editor.ground(PICTURES / "fruit.png", phrase)
    print(f"{phrase}: {found.status}, score {found.score:.2f}, box {found.box}; {found.reason}")
    if found.mask is not None:
        print(f"  {found.mask.sum()} pixels of {found.mask.size}")
