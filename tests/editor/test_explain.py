"""Explaining a grounding, with the real miniature models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from groundbrush.editor.cli.main import main
from groundbrush.editor.explain import attention_arrays, explain, pseudo_mask_of
from groundbrush.editor.pictures.picture import open_picture

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_an_explanation_has_a_map_of_every_head(miniature):
    source = open_picture(EXAMPLES / "fruit.png")
    found = miniature.ground(source, "the red apple")
    made = explain(miniature, source, found)
    assert tuple(h.head for h in made.heads) == found.heads
    assert all(0 < h.attention_sum < 1.001 and np.isfinite(h.entropy) for h in made.heads)
    assert {h.picture.shape for h in made.heads} == {made.combined.shape}
    assert made.reason == found.reason
    assert made.advice


def test_attention_as_data_is_what_was_found_with(miniature):
    source = open_picture(EXAMPLES / "fruit.png")
    phrase = "the red apple"
    arrays = attention_arrays(miniature, source, phrase)
    grounder = miniature.models.grounder()
    layers, heads, rows, columns = arrays["rows"].shape
    assert (layers, heads) == (grounder.lvlm.n_layers, grounder.lvlm.n_heads)
    assert len(arrays["image_tokens"]) == rows * columns
    assert {arrays["tokens"][i] for i in arrays["image_tokens"]} == {"<image>"}
    assert arrays["tokens"][arrays["query"]] == "."
    np.testing.assert_allclose(arrays["sums"], arrays["rows"].sum((-1, -2)), rtol=1e-5)
    assert tuple(map(tuple, arrays["heads"])) == grounder.lvlm.heads
    width, height = source.size
    assert arrays["region"].tolist() == [0, 0, width, height], "a square picture has no padding"
    view = miniature.finder.look(source)
    own = grounder.lvlm.head_rows(view.encoded, [phrase], grounder.lvlm.heads)[0]
    picked = arrays["rows"][tuple(arrays["heads"].T)]
    np.testing.assert_allclose(picked, own, atol=1e-6)


def test_the_pseudo_mask_is_of_the_picture_without_its_padding():
    # 200 by 100 in a padded square of 8 by 8 cells: rows 2 to 5 are the picture's, 25 pixels each.
    rows = np.zeros((2, 1, 8, 8), np.float32)
    rows[1, 0, 3:5, 2:4] = 1
    rows[0, 0, 0] = 9  # a head that is not chosen, on the padding
    arrays = {
        "rows": rows,
        "entropies": np.array([[0.7], [0.0]]),
        "heads": np.array([[1, 0]]),
        "region": np.array([0, -50, 200, 150]),
        "size": np.array([200, 100]),
    }
    mask, facts = pseudo_mask_of(arrays)
    assert facts["selected_heads"] == [{"layer": 1, "head": 0, "spatial_entropy": 0.0}]
    assert facts["image_size"] == [200, 100]
    x0, y0, x1, y1 = facts["bbox_xyxy"]  # the last pixels included
    ys, xs = np.nonzero(mask)
    assert (x0, y0, x1, y1) == (xs.min(), ys.min(), xs.max(), ys.max())
    assert mask[25:75, 50:100].all() and x0 % 25 == y0 % 25 == 0 and (x1 + 1) % 25 == 0
    flat = pseudo_mask_of({**arrays, "rows": np.ones_like(rows)})
    assert not flat[0].any() and flat[1]["bbox_xyxy"] == [0, 0, 0, 0]


def test_attention_and_ground_write_their_files(tmp_path: Path, capsys):
    picture = str(EXAMPLES / "fruit.png")
    file, figure = tmp_path / "rows.npz", tmp_path / "heads.png"
    command = ["attention", picture, "the red apple", "-o", str(file), "--figure", str(figure)]
    assert main([*command, "--pseudo-mask", "--offline"]) == 0
    boxed = json.loads((tmp_path / "rows_bbox.json").read_text())
    assert len(boxed["selected_heads"]) == 3
    pseudo = open_picture(tmp_path / "rows_mask.png").pixels[..., 0]
    x0, y0, x1, y1 = boxed["bbox_xyxy"]
    assert (
        pseudo.shape[::-1] == tuple(boxed["image_size"]) and pseudo[y0 : y1 + 1, x0 : x1 + 1].any()
    )
    kept = np.load(file)  # plain arrays: nothing is unpickled
    assert kept["rows"].ndim == 4 and str(kept["phrase"]) == "the red apple"
    assert figure.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit):
        main([*command[:4], "rows.pkl"])
    capsys.readouterr()
    ground = ["ground", picture, "the red apple", "--why", "--out", str(tmp_path / "o")]
    assert main([*ground, "--offline", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    mask = open_picture(Path(facts["mask"])).pixels
    assert (
        set(np.unique(mask)) == {0, 255}
        and mask.shape[:2] == open_picture(picture).pixels.shape[:2]
    )
    x0, y0, x1, y1 = (round(v) for v in facts["box"])
    ys, xs = np.nonzero(mask[..., 0])
    assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (x0, y0, x1, y1)
    assert len(facts["heads"]) == 3 and Path(facts["why"]).is_file()
