"""Scores: records survive a stop, the page says what they hold, and the yardsticks are right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from groundbrush import Editor
from groundbrush.editor.evaluation.sheet import CAPTION, TILE, tile
from groundbrush.miniature.scenes import compose
from groundbrush.miniature.scores import composers
from groundbrush.miniature.scores.__main__ import spread
from groundbrush.miniature.scores.finding import CROWDED_FROM, RARE, asked_of, scene_of
from groundbrush.miniature.scores.journal import Record, ScoreJournal, fingerprint
from groundbrush.miniature.scores.page import Measured, page, rate
from groundbrush.miniature.scores.painting import colour_seen, edit_of
from groundbrush.miniature.scores.segmenting import inner_point, rough_mask, shaken
from groundbrush.miniature.scores.sheets import verdict


def test_a_journal_measures_only_what_it_lacks_and_again_what_was_torn(tmp_path: Path) -> None:
    path, asked = tmp_path / "runs" / "part.jsonl", []

    def measure(seed: int) -> list[Record]:
        asked.append(seed)
        return [{"seed": seed}, {"twice": 2 * seed}]

    ScoreJournal(path).fill([3, 1], measure)
    with path.open("a") as file:
        file.write('[7, [{"seed"')
    records = ScoreJournal(path).fill([1, 7, 3], measure)
    assert asked == [3, 1, 7]
    assert records == [
        {"seed": s} if k == 0 else {"twice": 2 * s} for s in (1, 7, 3) for k in range(2)
    ]
    assert ScoreJournal(path).rows.keys() == {3, 1, 7}


def test_a_fingerprint_follows_what_the_files_hold(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"one")
    before = fingerprint([file])
    file.write_bytes(b"two")
    assert fingerprint([file]) != before
    assert fingerprint([file], "other settings") != fingerprint([file])


def test_crowded_seeds_are_asked_the_rare_kinds_only_and_all_of_them_come_up() -> None:
    kinds = set()
    for seed in range(CROWDED_FROM, CROWDED_FROM + 12):
        asked = asked_of(scene_of(seed), seed)
        assert len({e.kind for e in asked}) == len(asked)
        kinds |= {e.kind for e in asked}
    assert kinds == set(RARE)


def hand_made() -> Measured:
    base = {"seed": 1, "crowded": False, "phrase": "the car", "status": "found"}
    there = base | {
        "kind": "name",
        "found": True,
        "presence": 0.9,
        "target": 0,
        "box_iou": 0.8,
        "paper_iou": 0.2,
        "paper_box_iou": 0.3,
        "chance": 0.0,
        "ideal": 0.9,
        "paper_ideal": 0.7,
    }
    finding = [
        there | {"iou": iou, "shared": int(100 * iou), "union": 100} for iou in (0.9, 0.8, 0.6, 0.1)
    ]
    finding.append(base | {"kind": "absent", "found": False, "presence": 0.1})
    segment = dict.fromkeys(("box", "box20", "refined", "point", "box_point", "mask"), 0.8)
    edit = {"seed": 1, "new_in_hole": True, "old_gone": False, "removed": True, "preserved": True}
    heads = {
        "criterion": "sum",
        "heads": [[1, 2]],
        "threshold": 0.5,
        "iou": [0.5],
        "hits": [0.75],
        "rho": 0.7,
        "same": 4,
        "trials": 5,
        "scenes": 9,
        "sums": [0.9, 0.2],
    }
    labels = {"heads": [[1, 2]], "iou": [0.5], "hits": [0.8], "median_iou": 0.1, "median_hits": 0.2}
    return Measured(
        finding=finding,
        segmenting=[segment | {"edge": 0.7, "edge_refined": 0.8, "said": 0.7}, {"empty": 0.2}],
        painting=[edit],
        judging=[{"judge_finds": True, "judge_denies": True}],
        reconstruction=[{"crop": 28.0, "scene": 30.0}],
        discovery=[heads, labels],
        probe=[{"row": 0.95, "column": 0.9}],
        minutes=3.0,
    )


def test_the_page_says_what_the_records_hold() -> None:
    text = page(hand_made())
    assert "| all, ordinary scenes | 0.75 [" in text
    assert "cIoU 0.60, gIoU 0.60" in text
    assert "Reported absent: 1.00" in text
    assert "| sum: L1H2 | 0.50 | 0.50 | 0.75 | 0.70 | 4 of 5 |" in text
    assert "| new phrase grounded in the hole | 1.00" in text
    assert "Autoencoder: 30.0 dB" in text


def test_a_rate_has_an_interval_that_holds_its_mean_and_nothing_gives_a_dash() -> None:
    assert rate(np.array([])) == "–"
    assert rate(np.ones(5)) == "1.00 [1.00, 1.00] (n = 5)"


def test_the_judge_of_colours_names_what_the_composer_painted(miniature: Editor) -> None:
    grounder, seen = miniature.models.grounder(), []
    for seed in range(40):
        scene = compose("validation", seed)
        nouns = [o.noun for o in scene.objects]
        for item in scene.objects:
            if item.noun in ("car", "balloon", "book") and nouns.count(item.noun) == 1:
                view = grounder.look(scene.image)
                seen.append(colour_seen(view, grounder.lvlm, item.noun) == item.colour)
    assert len(seen) > 5 and np.mean(seen) > 0.8


def test_prompts_of_the_segmenter_stay_near_the_object() -> None:
    scene, rng = compose("validation", 3), np.random.default_rng(0)
    item, mask = scene.objects[0], scene.mask(0)
    (x, y), box = inner_point(mask)[0], np.array(item.box)
    assert mask[int(y), int(x)]
    moved = shaken(rng, item, 0.2, 256)
    reach = 0.2 * np.tile(box[2:] - box[:2], 2)
    assert (np.abs(moved - box) <= reach + 1e-9).all() and not np.array_equal(moved, box)
    rough = rough_mask(rng, mask)
    assert (rough & mask).sum() > 0.5 * mask.sum() and not np.array_equal(rough, mask)


def test_edits_replace_a_thing_without_a_twin_by_one_that_is_not_there() -> None:
    chosen = [edit for seed in range(20) if (edit := edit_of(seed))]
    assert len(chosen) > 5
    for scene, target, noun, _ in chosen:
        nouns = [o.noun for o in scene.objects]
        assert nouns.count(nouns[target]) == 1 and noun not in nouns


def test_a_tile_has_one_size_and_long_words_are_cut_within_it() -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    made = np.asarray(tile(picture, "the car " * 30, "x"))
    assert made.shape == (TILE + CAPTION, TILE, 3)
    assert (made[TILE // 2] == 0).all() and (made[TILE:, -2:] == 255).all()


def test_a_verdict_names_every_fault() -> None:
    record = {"new_in_hole": False, "old_gone": True, "colour_right": False}
    assert verdict(record) == "new one not found there, another colour"
    assert verdict({"new_in_hole": True, "old_gone": True}) == "passes"


def test_a_sample_is_spread_over_all_records() -> None:
    rows = [{"seed": k} for k in range(10)]
    assert [r["seed"] for r in spread(rows, 5)] == [0, 2, 4, 6, 8]
    assert spread(rows[:3], 5) == rows[:3]
    assert json.dumps(rows)


def test_the_composers_are_reported_side_by_side() -> None:
    there = {
        "kind": "side",
        "found": True,
        "presence": 0.9,
        "shape": "portrait",
        "peak": True,
        "size": 0.12,
        "style": "noto",
        "visible": 0.6,
        "from_box": 0.9,
        "from_point": 0.4,
    }
    missing = {"kind": "absent", "found": False, "presence": 0.2, "shape": "portrait"}
    records = [
        {"composer": name} | record
        for name, iou in (("wide", 0.8), ("foreign", 0.3))
        for record in (there | {"iou": iou, "paper_box": 0.6}, missing)
    ]
    text = composers.report(records)
    assert "| phrases | wide | foreign |" in text
    assert "| size below 0.15 | 1.00 [1.00, 1.00] (n = 1) | 0.00 [0.00, 0.00] (n = 1) |" in text
    assert "| SAM from a true click | 0.00 [0.00, 0.00] | 0.00" in text
    assert "| the same at 5% false alarms | 1.00" in text


def test_every_composer_is_asked_the_same_way() -> None:
    for name, compose_one in composers.COMPOSERS.items():
        for seed in range(3):
            scene = compose_one(composers.FIRST + seed)
            asked = composers.asked_of(scene, seed)
            assert sum(e.target is None for e in asked) == 2, name
            assert len({e.text for e in asked if e.target is not None}) <= 4


def test_the_peak_of_a_padded_map_lies_in_the_picture() -> None:
    token_map = np.zeros((4, 4))
    token_map[1, 3] = 1.0
    # 200 x 100: the square reaches from row -50 to 150
    assert composers._peak(token_map, (0.0, -50.0, 200.0, 150.0)) == (175, 25)
