"""What `record.py` wrote: the cost of every action, and a film that a README can show."""

from __future__ import annotations

import re

from groundbrush.tests.app.page.record import ACTIONS, FILM, HEAD, PAGE, WIDTH
from PIL import Image


def test_every_action_has_its_cost_on_the_page():
    text = PAGE.read_text("utf-8")
    assert text.startswith(HEAD)
    table = text.removeprefix(HEAD)
    rows = re.findall(r"^\| ([a-z ]+) \| [\d.]+ \| [\d.]+ \| [\d.]+ \|$", table, re.M)
    assert tuple(rows) == ACTIONS
    assert re.search(r"20\d\d-\d\d-\d\d, .+ cores, load \d+", " ".join(table.split()))


def test_the_film_moves_and_is_small():
    with Image.open(FILM) as film:
        assert (film.width, film.n_frames > 20) == (WIDTH, True)
    assert FILM.stat().st_size < 1_000_000
