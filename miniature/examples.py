"""Write the example pictures: held-out scenes, by seed; ``python -m miniature.examples``."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from miniature.scenes import compose

FOLDER = Path(__file__).parents[1] / "examples"
# name -> seed of a held-out scene; the demo needs the colour word, as its apples are three
SEEDS = {"demo": 1158, "fruit": 1193, "penguin": 1070}


def main() -> None:
    """Compose and save every example."""
    FOLDER.mkdir(exist_ok=True)
    for name, seed in SEEDS.items():
        Image.fromarray(compose("heldout", seed).image).save(FOLDER / f"{name}.png")
        print(FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
