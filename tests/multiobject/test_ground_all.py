"""Grounding a whole caption: the parts by hand, the whole with the real miniature models."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from groundbrush import Editor
from groundbrush.grounding.metrics import mask_iou
from groundbrush.grounding.result import Candidate, Grounding
from groundbrush.grounding.view import tight_box
from groundbrush.miniature.captions import plural_of
from groundbrush.miniature.scenes import Scene, SceneSettings, compose
from groundbrush.multiobject import MultiObjectError, NounPhrase, ground_all, noun_phrases
from groundbrush.multiobject.find.ground_all import caption_rows, find_instances
from groundbrush.multiobject.find.phrase_query import phrase_query, position_variants
from groundbrush.multiobject.find.search import BatchingSegmenter, SearchTerm, search
from groundbrush.multiobject.instances import split_instances
from groundbrush.multiobject.phrases.lexicon import is_thing

KNOWN = set("the a red green apple dog car next to of on left".split())


def unknown(text: str) -> list[str]:
    return [w for w in text.lower().split() if w not in KNOWN]


# --- how a phrase is queried -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("caption", "words", "told"),
    [
        ("the red apple next to the dog", "the red apple next to the dog", ""),
        ("the red apple behind the dog", "the red apple", "the model knows no more of the words"),
        ("two red apples next to the dog", "the red apple next to the dog", "no more of the words"),
        ("two red apples behind the dog", "the red apple", "no more of the words"),
        ("the green apples", "the green apple", "no more of the words"),
        ("a red apple next to a dog", "the red apple next to a dog", ""),
        ("A green apple behind a dog", "the green apple", "the model knows no more of the words"),
    ],
)
def test_the_fullest_words_that_are_known_are_asked(caption, words, told) -> None:
    asked = phrase_query(noun_phrases(caption)[0], unknown)
    assert asked.words == words
    assert told in asked.note
    assert asked.unknown == ()


def test_what_describes_the_thing_is_never_left_out() -> None:
    asked = phrase_query(noun_phrases("two striped apples")[0], unknown)
    assert asked.unknown == ("striped",)


def test_a_model_of_many_words_is_asked_as_written() -> None:
    for phrase in noun_phrases("two striped apples behind the dog"):
        assert phrase_query(phrase, lambda text: []).words == phrase.refer


@pytest.mark.parametrize(
    ("caption", "number"),
    [
        ("two dogs", 2),
        ("3 dogs", 3),
        ("the dogs", None),
        ("one dog", None),
        ("both dogs", 2),
        ("² dogs", None),
        ("the ② dogs", None),
    ],
)
def test_how_many_are_meant(caption, number) -> None:
    assert phrase_query(noun_phrases(caption)[0], lambda text: []).number == number


@pytest.mark.parametrize(
    ("caption", "one"),
    [
        ("two red apples next to the dog", "the red apple next to the dog"),
        ("all the apples", "the apple"),
        ("three slices of pizza", ""),
        ("a group of people", ""),
    ],
)
def test_the_words_for_one_of_several(caption, one) -> None:
    assert phrase_query(noun_phrases(caption)[0], lambda text: []).singular == one


def test_relations_that_are_not_asked_for_are_in_no_words_for_one() -> None:
    asked = phrase_query(noun_phrases("two red apples behind the dog")[0], unknown)
    assert asked.singular == "the red apple"


def test_several_are_asked_for_one_by_one() -> None:
    two = position_variants("the red car", 2, lambda text: [])
    assert two == tuple(f"the {side} red car" for side in ("left", "right", "top", "bottom"))
    three = position_variants("every car", 3, lambda text: [])
    assert three[4:] == (
        "the middle car",
        "the first car from the left",
        "the second car from the left",
        "the third car from the left",
    )
    assert position_variants("the car", None, lambda text: [])[4:] == ("the middle car",)
    assert position_variants("the car", 3, unknown) == ("the left car",)
    assert position_variants("the left car", 2, lambda text: []) == ()


def test_things_and_stuff() -> None:
    assert [is_thing(n) for n in ("dog", "sky", "grass", "tree")] == [True, False, False, True]
    assert not is_thing("tree", plural=True)
    assert is_thing("dog", plural=True)


# --- one grounding, several places ------------------------------------------------------------


def drawn(*boxes: tuple[int, int, int, int], heat: list[float], scores: list[float]) -> Grounding:
    """A grounding on 20 by 40 pixels with a level of the map in each box."""
    grid = np.zeros((20, 40), np.float32)
    masks = []
    for (x0, y0, x1, y1), level in zip(boxes, heat, strict=True):
        mask = np.zeros((20, 40), bool)
        mask[y0:y1, x0:x1] = True
        grid[mask] = np.maximum(grid[mask], level)
        masks.append(mask)
    others = tuple(
        Candidate(tight_box(m), s, m) for m, s in zip(masks[1:], scores[1:], strict=True)
    )
    return Grounding(
        "cars",
        "ambiguous",
        "",
        tight_box(masks[0]),
        masks[0],
        scores[0],
        others,
        ((0, 0),),
        grid,
        (0, 0, 40, 20),
    )


PICTURE = np.zeros((20, 40, 3), np.uint8)
LEFT, MIDDLE, RIGHT = (2, 5, 8, 12), (16, 5, 22, 12), (30, 5, 36, 12)


def test_every_place_with_much_of_the_map_is_an_instance() -> None:
    found = drawn(LEFT, RIGHT, MIDDLE, heat=[1, 0.9, 0.1], scores=[0.9, 0.8, 0.8])
    places = split_instances(PICTURE, found, refine=False)
    assert [tight_box(p.mask) for p in places] == [LEFT, RIGHT]
    assert [p.score for p in places] == [0.9, 0.8]


def test_the_number_in_the_words_bounds_the_instances() -> None:
    found = drawn(LEFT, RIGHT, MIDDLE, heat=[1, 1, 1], scores=[0.9, 0.8, 0.7])
    assert len(split_instances(PICTURE, found, refine=False)) == 3
    assert len(split_instances(PICTURE, found, at_most=2, refine=False)) == 2


def test_words_that_count_are_believed_before_a_weak_map() -> None:
    found = drawn(LEFT, RIGHT, MIDDLE, heat=[1, 0.2, 0.05], scores=[0.9, 0.4, 0.4])
    assert len(split_instances(PICTURE, found, refine=False)) == 1
    assert len(split_instances(PICTURE, found, at_most=3, refine=False)) == 2


def test_a_mask_over_two_found_ones_is_no_third_instance() -> None:
    both = (2, 5, 36, 12)
    found = drawn(LEFT, RIGHT, both, heat=[1, 1, 0.9], scores=[0.9, 0.9, 0.9])
    assert len(split_instances(PICTURE, found, refine=False)) == 2


def one_place(box: tuple[int, int, int, int], score: float) -> Grounding:
    return drawn(box, heat=[1], scores=[score])


def test_things_found_one_by_one_come_before_weak_places() -> None:
    found = drawn(LEFT, MIDDLE, heat=[1, 0.9], scores=[0.8, 0.75])
    others = (one_place(RIGHT, 0.9), one_place(LEFT, 0.85))
    variants = others
    places = split_instances(PICTURE, found, variants, at_most=2, refine=False)
    assert [tight_box(p.mask) for p in places] == [RIGHT, LEFT]
    assert [p.score for p in places] == [0.9, 0.85]
    every = split_instances(PICTURE, found, variants, at_most=3, refine=False)
    assert [tight_box(p.mask) for p in every] == [RIGHT, LEFT, MIDDLE]


def test_one_mask_over_two_things_gives_way_to_the_two() -> None:
    both = (2, 5, 22, 12)  # over the left and the middle one
    found = drawn(both, heat=[1], scores=[0.95])
    variants = (one_place(LEFT, 0.6), one_place(MIDDLE, 0.7))
    places = split_instances(PICTURE, found, variants, at_most=2, refine=False)
    assert [tight_box(p.mask) for p in places] == [MIDDLE, LEFT]
    three = (*variants, one_place(RIGHT, 0.8))
    places = split_instances(PICTURE, found, three, at_most=3, refine=False)
    assert [tight_box(p.mask) for p in places] == [RIGHT, MIDDLE, LEFT]
    # two that are there suffice where they score better
    places = split_instances(PICTURE, found, three, at_most=2, refine=False)
    assert [tight_box(p.mask) for p in places] == [both, RIGHT]


def test_words_that_do_not_count_need_places_nearly_as_good() -> None:
    found = drawn(LEFT, heat=[1], scores=[0.9])
    weak, gone = one_place(RIGHT, 0.7), one_place(MIDDLE, 0.9)
    gone = dataclasses.replace(gone, status="absent", box=None, mask=np.zeros((20, 40), bool))
    variants = (weak, gone)
    assert len(split_instances(PICTURE, found, variants, refine=False)) == 1
    assert len(split_instances(PICTURE, found, variants, at_most=3, refine=False)) == 2


@pytest.mark.parametrize(
    ("at_most", "heat", "score", "counts"),
    [
        # share of the best map and of the best score that a further instance needs
        (None, 0.52, 0.9, True),
        (None, 0.48, 0.9, False),
        (None, 1, 0.46, True),
        (None, 1, 0.44, False),
        (2, 0.12, 0.9, True),
        (2, 0.08, 0.9, False),
        (2, 1, 0.28, True),
        (2, 1, 0.26, False),
    ],
)
def test_how_much_map_and_score_a_further_instance_needs(at_most, heat, score, counts) -> None:
    # the map's mean is subtracted first; both boxes have 6 by 7 of its 20 by 40 pixels
    share = 42 / 800
    mean = share * (1 + heat) / (1 - share * (1 - heat))
    level = heat * (1 - mean) + mean
    found = drawn(LEFT, RIGHT, heat=[1, level], scores=[0.9, score])
    assert (len(split_instances(PICTURE, found, at_most=at_most, refine=False)) == 2) == counts


@pytest.mark.parametrize(
    ("at_most", "score", "counts"),
    [(None, 0.86, True), (None, 0.84, False), (2, 0.51, True), (2, 0.49, False)],
)
def test_how_good_an_instance_found_by_a_variant_must_be(at_most, score, counts) -> None:
    found, variant = one_place(LEFT, 1.0), one_place(RIGHT, score)
    places = split_instances(PICTURE, found, [variant], at_most=at_most, refine=False)
    assert (len(places) == 2) == counts


@pytest.mark.parametrize(("shared", "apart"), [(2, True), (3, False)])
def test_instances_share_less_than_three_tenths_of_the_smaller(shared, apart) -> None:
    box = (2, 5, 12, 12)  # ten columns
    other = (12 - shared, 5, 22 - shared, 12)
    found = drawn(box, other, heat=[1, 1], scores=[0.9, 0.9])
    assert (len(split_instances(PICTURE, found, refine=False)) == 2) == apart


def test_an_absent_phrase_has_no_places() -> None:
    found = drawn(LEFT, RIGHT, heat=[1, 1], scores=[0.9, 0.9])
    gone = dataclasses.replace(found, status="absent", box=None, mask=np.zeros((20, 40), bool))
    assert split_instances(PICTURE, gone) == []


# --- prompts together -------------------------------------------------------------------------


class FakeSegmenter:
    """Answers each prompt with its own coordinates, and counts the calls."""

    mask_side = 4

    def __init__(self) -> None:
        self.calls: list[int] = []

    def prompt_logits(self, embedding, *, boxes=None, points=None, mask=None, multimask=True):
        given = np.concatenate([np.asarray(v, float) for v in (boxes, points) if v is not None], 1)
        self.calls.append(len(given))
        kinds = 3 if multimask else 1
        logits = np.zeros((len(given), kinds, 4, 4), np.float32)
        logits += given.sum(1)[:, None, None, None]
        return logits, np.tile(given.sum(1, keepdims=True), kinds).astype(np.float32)


def test_prompts_of_one_kind_are_decoded_in_one_call_and_come_back_in_order() -> None:
    segmenter = FakeSegmenter()
    batch = BatchingSegmenter(segmenter)

    def place():
        out = [batch.prompt_logits(None, points=[(k, 0.0)] * (k + 1))[1][:, 0] for k in range(3)]
        out.append(batch.prompt_logits(None, boxes=[(1, 2, 3, 4)], multimask=False)[1][:, 0])
        out.append(batch.prompt_logits(None, points=[(9.0, 9.0)])[1][:, 0])
        return [o.tolist() for o in out]

    assert batch.run(None, place) == [[0], [1, 1], [2, 2, 2], [10], [18]]
    assert segmenter.calls == [7, 1]


def test_prompts_with_a_mask_go_through_by_themselves() -> None:
    segmenter = FakeSegmenter()
    batch = BatchingSegmenter(segmenter)
    rough = np.zeros((4, 4), np.float32)

    def place():
        return [batch.prompt_logits(None, points=[(k, 0.0)], mask=rough)[1][0, 0] for k in (3, 4)]

    assert batch.run(None, place) == [3, 4]
    assert segmenter.calls == [1, 1]


# --- the real models --------------------------------------------------------------------------

ALIKE = SceneSettings(objects=(3, 4), twins=1.0, triples=0.0)
TWINS = (3, 5, 8, 11)


@pytest.fixture(scope="module")
def seen(miniature: Editor) -> tuple[object, object, Scene]:
    scene = compose("heldout", 6)  # three different things
    grounder = miniature.models.grounder()
    return grounder, grounder.look(scene.image), scene


def caption_of(scene: Scene) -> str:
    names = [f"the {o.noun}" for o in scene.objects]
    return "a picture of " + ", ".join(names[:-1]) + " and " + names[-1]


def test_each_phrase_has_the_place_it_has_alone(seen) -> None:
    grounder, view, scene = seen
    found = ground_all(grounder, view, caption_of(scene))
    assert [s.name for s in found.segments] == [o.noun for o in scene.objects]
    assert found.id_map.shape == scene.image.shape[:2]
    for segment in found.segments:
        alone = grounder.ground(view, segment.phrase)
        assert segment.status == alone.status
        assert segment.score == pytest.approx(alone.score, abs=1e-3)
        assert mask_iou(segment.mask, alone.mask) > 0.99
        assert found.caption[slice(*segment.span)] == segment.phrase
        for number in segment.ids:
            assert segment.mask[found.painted(number)].all()


def test_both_models_read_the_picture_once_and_sam_decodes_together(seen, monkeypatch) -> None:
    grounder, view, scene = seen
    forwards, decodes = [], []
    real = grounder.segmenter.prompt_logits
    monkeypatch.setattr(grounder.lvlm, "encode", lambda *a, **k: pytest.fail("encoded again"))
    monkeypatch.setattr(grounder.segmenter, "embed", lambda *a: pytest.fail("embedded again"))
    monkeypatch.setattr(
        grounder.segmenter, "prompt_logits", lambda *a, **k: decodes.append(1) or real(*a, **k)
    )
    hook = grounder.lvlm._base.register_forward_pre_hook(lambda *a: forwards.append(1))
    try:
        ground_all(grounder, view, caption_of(scene))
    finally:
        hook.remove()
    assert len(forwards) == 1  # all phrases in one packed row
    # one call for each kind of prompt the settings know, and two for each phrase to grow its mask
    most = len(grounder.settings.proposals.prompts) + 2 * len(scene.objects)
    assert 1 <= len(decodes) <= most


def test_words_the_model_does_not_know_are_reported_and_not_painted(seen) -> None:
    grounder, view, scene = seen
    found = ground_all(grounder, view, f"the {scene.objects[0].noun} under the zeppelin")
    known, strange = found.segments
    assert known.status != "unknown"
    assert (strange.status, strange.ids, strange.found) == ("unknown", (), False)
    assert "'zeppelin'" in strange.reason
    assert not strange.mask.any()


def test_plurals_keep_their_instances(seen) -> None:
    grounder, view, scene = seen
    found = ground_all(grounder, view, f"two {scene.objects[0].noun}s")
    (segment,) = found.segments
    assert segment.plural
    if segment.found:
        assert 1 <= len(segment.instances) <= 2
        assert (np.any([i.mask for i in segment.instances], axis=0) == segment.mask).all()
        assert {i.id for i in segment.instances if i.id} == set(segment.ids)


def test_counted_things_are_found_one_by_one(miniature: Editor) -> None:
    grounder, right, places = miniature.models.grounder(), 0, 0
    for seed in TWINS:
        scene = compose("validation", seed, ALIKE)
        noun = scene.objects[0].noun
        twins = [k for k, o in enumerate(scene.objects) if o.noun == noun]
        (segment,) = ground_all(
            grounder, grounder.look(scene.image), f"two {plural_of(noun)}"
        ).segments
        assert len(segment.instances) <= 2
        places += len(twins)
        right += sum(
            any(mask_iou(i.mask, scene.mask(k)) >= 0.5 for i in segment.instances) for k in twins
        )
    assert right >= 0.75 * places  # heads look at one of two: without a query for each it is half


def test_a_caption_that_names_nothing_gives_nothing(seen) -> None:
    grounder, view, _ = seen
    found = ground_all(grounder, view, "it is very quiet")
    assert found.segments == ()
    assert not found.id_map.any()


def test_unknown_modes_are_refused(seen) -> None:
    grounder, view, _ = seen
    with pytest.raises(MultiObjectError, match="expected mode 'phrases' or 'caption'"):
        ground_all(grounder, view, "a dog", mode="words")


# --- the paper's way --------------------------------------------------------------------------


@pytest.fixture
def asking_at_the_end(seen, monkeypatch):
    """The model read at an expression's last word, as in the paper."""
    grounder, view, _ = seen
    monkeypatch.setattr(grounder.lvlm.family.prompts, "query", "expression")
    return grounder.lvlm, view.encoded


def test_a_words_row_is_that_of_the_caption_up_to_it(asking_at_the_end) -> None:
    lvlm, encoded = asking_at_the_end
    caption = "the  red apple and the\n small dog"
    start = caption.index("small")
    rows = caption_rows(lvlm, encoded, caption, [(9, 14), (start, len(caption)), (start + 6, 33)])
    first = lvlm.head_rows(encoded, ["the red apple"], lvlm.heads)[0]
    small = lvlm.head_rows(encoded, ["the red apple and the small"], lvlm.heads)[0]
    dog = lvlm.head_rows(encoded, ["the red apple and the small dog"], lvlm.heads)[0]
    np.testing.assert_allclose(rows[0], first, atol=1e-5)
    np.testing.assert_allclose(rows[1], (small + dog) / 2, atol=1e-5)
    np.testing.assert_allclose(rows[2], dog, atol=1e-5)


def test_a_caption_too_long_names_the_other_mode(asking_at_the_end) -> None:
    lvlm, encoded = asking_at_the_end
    caption = "the dog " * 3000
    with pytest.raises(MultiObjectError, match="mode='phrases'"):
        caption_rows(lvlm, encoded, caption, [(0, 7)])


def test_the_whole_caption_runs_once(seen) -> None:
    grounder, view, scene = seen
    found = ground_all(grounder, view, caption_of(scene), mode="caption")
    assert len(found.segments) == len(scene.objects)
    for segment in found.segments:
        for number in segment.ids:
            assert segment.mask[found.painted(number)].all()


def test_variants_belong_to_their_own_term(seen) -> None:
    """Also behind terms without any: each variant is grounded with its own words."""
    grounder, view, scene = seen
    first, second, third = (f"the {o.noun}" for o in scene.objects)
    variants = {name: (f"the left {name[4:]}", f"the right {name[4:]}") for name in (second, third)}
    terms = [
        SearchTerm(first),
        SearchTerm(second, False, variants[second]),
        SearchTerm(first),
        SearchTerm(third, False, variants[third]),
    ]
    results = search(grounder, view, terms)
    assert [[g.phrase for g in r.variants] for r in results] == [list(t.variants) for t in terms]
    assert [r.grounding.phrase for r in results] == [t.words for t in terms]


def test_places_of_phrases_that_mean_several(seen) -> None:
    grounder, view, scene = seen
    name = f"the {scene.objects[0].noun}"
    one, every = find_instances(grounder, view, [(name, 1), (name, None)])
    alone = grounder.ground(view, name)
    assert len(one) <= 1 <= len(every)
    assert mask_iou(one[0].mask, alone.mask) > 0.99
    assert find_instances(grounder, view, []) == []


def test_given_phrases_are_taken_instead_of_the_parsers(seen) -> None:
    grounder, view, scene = seen
    noun = scene.objects[0].noun
    phrase = NounPhrase(f"the {noun}", (0, 4 + len(noun)), noun, noun, False, (), f"the {noun}")
    found = ground_all(grounder, view, f"the {noun} and the sky", phrases=[phrase])
    assert [s.phrase for s in found.segments] == [f"the {noun}"]
