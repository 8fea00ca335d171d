"""The contact sheet: nothing cut off, nothing overlapping, colours that differ between objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from groundbrush.miniature.calibration import ReferredScene, balanced_expressions
from groundbrush.miniature.phrases import expressions
from groundbrush.miniature.scenes import CROWDED
from groundbrush.miniature.sheet import (
    FONT,
    LINE,
    OUTLINES,
    PICTURE,
    TEXT,
    WIDTH,
    draw_sheet,
    indexed,
    lines_of,
    main,
    outlined,
    tile,
    varied,
    wrapped,
)
from PIL import Image, ImageFont

PAGE = Path(__file__).parents[2] / "docs" / "composer.png"
SMALL = ImageFont.load_default(FONT)


@pytest.fixture(scope="module")
def drawn() -> list[ReferredScene]:
    return list(balanced_expressions("validation", 4, seed=2))


def test_there_is_an_outline_for_every_object() -> None:
    assert len(set(OUTLINES)) >= CROWDED.objects[1]


def test_outlines_follow_the_instances(drawn: list[ReferredScene]) -> None:
    scene = drawn[0].scene
    picture = outlined(scene)
    assert (scene.image != picture).any()
    for index in range(len(scene.objects)):
        line = (picture == OUTLINES[index]).all(-1)
        x0, _, _, y1 = scene.objects[index].box
        ys, xs = np.nonzero(line)
        assert abs(xs.min() - x0) <= 2
        assert abs(ys.max() + 1 - y1) <= 2


def test_expressions_shown_differ_in_kind_first(drawn: list[ReferredScene]) -> None:
    for one in drawn:
        chosen = varied(one.scene, one.expression)
        every = {
            e.kind for i in range(len(one.scene.objects)) for e in expressions(one.scene, i)
        } - {"redundant"}
        assert chosen[0] == one.expression
        assert len(set(chosen)) == len(chosen)
        assert len({e.kind for e in chosen}) == min(len(every), len(chosen))


def test_wrapping_keeps_every_word_within_the_width() -> None:
    text = "turn the second red strawberry from the left into an orange balloon " * 3
    lines = wrapped(text, 200, SMALL)
    assert " ".join(lines).split() == text.split()
    assert max(SMALL.getlength(line) for line in lines) <= 200


def test_no_line_is_cut_off(drawn: list[ReferredScene]) -> None:
    for one in drawn:
        lines = lines_of(one, "validation", SMALL)
        assert "caption" in {line.label for line in lines}
        for line in lines:
            assert TEXT + SMALL.getlength(line.text) <= WIDTH
            assert SMALL.getlength(line.label) < TEXT - 14  # the dot stands between
        picture = tile(one, lines, SMALL)
        assert picture.size == (WIDTH, PICTURE + 8 + LINE * len(lines))
        bottom = np.asarray(picture)[-2:]
        assert (bottom == 255).all()


def test_tiles_stand_beside_each_other_on_white(drawn: list[ReferredScene]) -> None:
    sheet = np.asarray(draw_sheet(4, seed=2))
    first = np.asarray(tile(drawn[0], lines_of(drawn[0], "validation", SMALL), SMALL))
    assert (sheet[12 : 12 + len(first), 12 : 12 + WIDTH] == first).all()
    for column in (0, 1, 2):
        assert (sheet[:, column * (WIDTH + 24) : column * (WIDTH + 24) + 12] == 255).all()


def test_few_colours_keep_the_white(tmp_path: Path) -> None:
    sheet = draw_sheet(2)
    few = indexed(sheet).convert("RGB")
    white = (np.asarray(sheet) == 255).all(-1)
    kept = (np.asarray(few) == 255).all(-1)
    assert kept[:10].all()
    assert (kept & white).sum() > 0.99 * white.sum()
    main(["--count", "2", "--out", str(tmp_path / "sheet.png")])
    assert (np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")) == few).all()


def test_the_page_in_the_docs_is_small_enough_to_load() -> None:
    assert PAGE.stat().st_size < 900_000
