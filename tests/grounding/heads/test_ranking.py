"""Criteria, ranking and the heads' dataclass, against hand-worked numbers and slow references."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.heads.criteria import (
    attention_sums,
    bottom_row_focus,
    elbow,
    phrase_contrast,
    spatial_entropy,
)
from groundbrush.grounding.heads.ranking import (
    HeadMeasurements,
    HeadRanking,
    LocalizationHeads,
    greedy_heads,
    measure_heads,
    rank_heads,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

# Whole numbers make every mean exact, so that turning a map cannot move a cell over it.
whole_maps = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    elements=st.integers(0, 4).map(float),
)


def slow_entropy(cells: np.ndarray, weight: np.ndarray) -> float:
    """Flood fill, one cell at a time."""
    left = {(int(y), int(x)) for y, x in np.argwhere(cells)}
    if not left:
        return float("inf")
    shares = []
    while left:
        edge, mass = [left.pop()], 0.0
        while edge:
            y, x = edge.pop()
            mass += float(weight[y, x])
            for dy, dx in itertools.product((-1, 0, 1), repeat=2):
                if (y + dy, x + dx) in left:
                    left.remove((y + dy, x + dx))
                    edge.append((y + dy, x + dx))
        shares.append(mass / float(weight.sum()))
    return float(-sum(p * np.log(p) for p in shares))


def blob(grid: int, *cells: tuple[int, int], value: float = 0.1) -> np.ndarray:
    """A map with the given cells at `value`."""
    array = np.full((grid, grid), 1e-4)
    for y, x in cells:
        array[y, x] = value
    return array


# --- attention sums


def test_attention_sums_add_up_each_map():
    rows = np.arange(2 * 3 * 2 * 2, dtype=np.float32).reshape(2, 3, 2, 2)
    assert attention_sums(rows).tolist() == [[6, 22, 38], [54, 70, 86]]
    assert attention_sums(rows[None, None]).shape == (1, 1, 2, 3)


def test_attention_sums_do_not_lose_half_precision():
    rows = np.full((1, 1, 100, 100), 1e-4, dtype=np.float16)
    assert attention_sums(rows)[0, 0] == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((3, 4, 4)), r"shape \(3, 4, 4\); expected a non-empty \(\.\.\., L, H, P, Q\)"),
        (np.zeros((1, 2, 0, 4)), "non-empty"),
        (np.full((1, 1, 2, 2), -0.5), "hold -0.5; softmax weights are never negative"),
        (np.full((1, 1, 2, 2), np.nan), "4 values that are not finite.*float32 or bfloat16"),
        (np.full((1, 1, 2, 2), "a"), "expected real numbers"),
        ([[1], [1, 2]], "do not form an array"),
    ],
)
def test_attention_sums_refuse(rows, message):
    with pytest.raises(GroundingError, match=message):
        attention_sums(rows)


# --- elbow


def test_elbow_of_known_curves():
    # Chord from (0, 0) to (4, 1): gaps below it are 0, .25, .4, .35, 0.
    assert elbow([0.0, 0.0, 0.1, 0.4, 1.0]) == 0.1
    # A curve bent the other way counts as well: gaps above are 0, .35, .4, .2, 0.
    assert elbow([0.0, 0.6, 0.9, 0.95, 1.0]) == 0.9


def test_elbow_sorts_and_takes_the_lower_of_equals():
    assert elbow([1.0, 0.1, 0.4, 0.0, 0.0]) == 0.1
    assert elbow([0, 0, 1, 1]) == 0


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(4, 40), elements=st.floats(0, 1, width=16), unique=True),
    st.floats(0.01, 100),
)
def test_elbow_is_the_farthest_point_and_ignores_scale(values, factor):
    try:
        found = elbow(values)
    except GroundingError:
        return
    y = np.sort(values)
    x = np.arange(len(y), dtype=float)
    a, b = np.array([x[0], y[0]]), np.array([x[-1], y[-1]])
    along, away = b - a, np.stack([x, y], axis=1) - a
    gaps = np.abs(along[0] * away[:, 1] - along[1] * away[:, 0]) / np.hypot(*along)
    assert gaps[list(y).index(found)] == pytest.approx(gaps.max(), abs=1e-9)
    scaled = np.sort(values * factor)
    assert gaps[list(scaled).index(elbow(scaled))] == pytest.approx(gaps.max(), abs=1e-7)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.1, 0.2], "at least 3 values, got 2"),
        ([0.3] * 5, "no elbow; give the threshold"),
        ([0.1, 0.2, 0.3, 0.4], "straight line from 0.1 to 0.4"),
        ([0.1, np.nan, 0.2, 0.9], "1 values that are not finite"),
        ([[0.1, 0.2, 0.3]], r"expected a non-empty \(n,\)"),
        ([], "non-empty"),
    ],
)
def test_elbow_refuses(values, message):
    with pytest.raises(GroundingError, match=message):
        elbow(values)


# --- spatial entropy


def test_entropy_of_drawn_maps():
    one = blob(6, (1, 1), (2, 2), (1, 2))
    three = blob(6, (0, 0), (0, 5), (5, 0))
    uneven = blob(6, (0, 0), (4, 4), (4, 5), (5, 5))  # shares 1/4 and 3/4
    blank = np.full((6, 6), 0.1)
    found = spatial_entropy(np.stack([one, three, uneven, blank]))
    quarter = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert found[:3] == pytest.approx([0, np.log(3), quarter])
    assert found[3] == np.inf


def test_entropy_joins_diagonals_but_not_neighbouring_maps():
    diagonal = np.eye(4)
    assert spatial_entropy(diagonal) == 0
    # Both maps fill the same corner: one labelling call must not let them touch.
    assert spatial_entropy(np.stack([diagonal, diagonal])).tolist() == [0, 0]


@pytest.mark.parametrize("value", [0.1, 1 / 3, 0.0, 7.3e-5])
@pytest.mark.parametrize("grid", [(24, 24), (7, 13), (1, 1)])
def test_blank_maps_never_win(value, grid):
    for mode in ("mean", "public-code"):
        assert spatial_entropy(np.full(grid, value), binarise=mode) == np.inf


@settings(deadline=None)
@given(whole_maps)
def test_entropy_survives_turning_and_flipping(drawn):
    turned = [np.rot90(drawn, k) for k in range(4)] + [np.flipud(drawn), np.fliplr(drawn)]
    for mode in ("mean", "public-code"):
        found = [float(spatial_entropy(view, binarise=mode)) for view in turned]
        assert found == pytest.approx([found[0]] * len(found), abs=1e-12)


@settings(deadline=None)
@given(st.integers(1, 25))
def test_entropy_of_n_equal_components_is_ln_n(count):
    grid = np.zeros((10, 10))
    for y, x in list(itertools.product(range(0, 10, 2), repeat=2))[:count]:
        grid[y, x] = 1
    assert spatial_entropy(grid) == pytest.approx(np.log(count))
    assert spatial_entropy(grid / 3, binarise="public-code") == pytest.approx(np.log(count))


@settings(deadline=None)
@given(hnp.arrays(np.float64, (2, 3, 6, 7), elements=st.integers(0, 9).map(float)))
def test_entropy_of_a_stack_matches_a_flood_fill(maps):
    found = spatial_entropy(maps)
    mass = spatial_entropy(maps / 100, binarise="public-code")
    assert found.shape == mass.shape == (2, 3)
    for where in np.ndindex(2, 3):
        one = maps[where]
        cells = one > one.mean()
        assert found[where] == pytest.approx(slow_entropy(cells, cells), abs=1e-12)
        weight = np.maximum(one / 100 - 2 * (one / 100).mean(), 0)
        cells = weight > 0.001
        # The public code divides by the mass of the cells under its floor as well.
        expected = slow_entropy(cells, weight)
        assert mass[where] == pytest.approx(expected, abs=1e-9)


def test_public_code_mode_weighs_mass_above_its_floor():
    grid = np.zeros((10, 10))
    grid[0, 0], grid[9, 9], grid[5, 5] = 0.50, 0.30, 0.0181
    # mean 0.008181, so 2 * mean = 0.016362: the third cell rises 0.001738 > 0.001 above it.
    level = 2 * grid.mean()
    shares = np.array([0.50, 0.30, 0.0181]) - level
    shares /= shares.sum()
    assert spatial_entropy(grid, binarise="public-code") == pytest.approx(
        -(shares * np.log(shares)).sum()
    )


def test_entropy_labels_all_heads_in_one_call(monkeypatch):
    calls = []
    real = cv2.connectedComponentsWithStats
    monkeypatch.setattr(
        cv2, "connectedComponentsWithStats", lambda *a, **k: calls.append(1) or real(*a, **k)
    )
    spatial_entropy(np.random.default_rng(0).random((4, 5, 6, 6)))
    assert calls == [1]


def test_entropy_refuses():
    with pytest.raises(GroundingError, match="is .max.; expected one of mean, public-code"):
        spatial_entropy(np.eye(3), binarise="max")
    with pytest.raises(GroundingError, match=r"expected a non-empty \(\.\.\., P, Q\)"):
        spatial_entropy([1.0, 2.0])


def test_bottom_row_focus():
    maps = np.zeros((2, 3, 3))
    maps[0, 2, 1], maps[1, 1, 1] = 0.06, 0.9
    assert bottom_row_focus(maps).tolist() == [True, False]
    assert bottom_row_focus(maps, limit=0.06).tolist() == [False, False]


# --- ranking


def sample(grid: int = 6) -> np.ndarray:
    """3 layers of 2 heads. By layer: sink; one strong blob, four blobs; faint blob, two blobs."""
    rows = np.full((3, 2, grid, grid), 1e-4)
    rows[0] = blob(grid, (0, 0), value=0.9)
    rows[1, 0] = blob(grid, (2, 2), (2, 3), value=0.3)
    rows[1, 1] = blob(grid, (0, 0), (0, 5), (5, 0), (5, 5), value=0.2)
    rows[2, 0] = blob(grid, (3, 3), value=0.01)
    rows[2, 1] = blob(grid, (0, 0), (4, 4), value=0.25)
    return rows


def test_rank_heads_on_drawn_samples():
    # Layer 0 is out, L2H0 is too faint; of the rest L1H0 has one blob, L2H1 two, L1H1 four.
    ranking = rank_heads([sample(), sample(8)], lowest=2, skip_layers=1, threshold=0.4)
    assert ranking.frequency.tolist() == [[0, 0], [1, 0], [0, 1]]
    assert ranking.top(2) == ((1, 0), (2, 1))
    assert (ranking.samples, ranking.threshold, ranking.skip_layers) == (2, 0.4, 1)
    assert ranking.mean_sums[1, 0] == pytest.approx(0.6 + (34 + 62) / 2 * 1e-4, rel=1e-5)


def test_threshold_comes_from_the_mean_curve_without_the_first_layers():
    # Sums without layer 0, ascending: .0135, .5034, .6034, .8032: the elbow is the second.
    ranking = rank_heads([sample()], skip_layers=1)
    assert ranking.threshold == pytest.approx(0.5034, abs=1e-6)
    assert ranking.frequency.tolist() == [[0, 0], [1, 1], [0, 1]]


def test_frequency_counts_samples():
    weak = sample()
    weak[1, 0] = blob(6, (0, 0), (0, 2), (0, 4), value=0.2)  # three blobs: L2H1 wins
    ranking = rank_heads([sample(), weak, sample(), sample()], 1, 1, 0.4)
    assert ranking.frequency.tolist() == [[0, 0], [0.75, 0], [0, 0.25]]


def test_per_sample_threshold_admits_by_each_sample():
    dim = sample()
    dim[1, 0] = blob(6, (2, 2), value=0.005)  # one blob still, but faint in this sample
    on_mean = rank_heads([sample(), dim], 1, 1, 0.3)
    per_sample = rank_heads([sample(), dim], 1, 1, "per-sample")
    assert on_mean.frequency[1, 0] == 1
    assert per_sample.frequency[1, 0] == 0.5


def test_the_sum_can_be_switched_off():
    no_sum = rank_heads([sample()], lowest=2, skip_layers=1, threshold=0)
    assert no_sum.top(2) == ((1, 0), (2, 0))  # the faint single blob comes in


def test_ties_go_to_the_larger_sum_then_the_lower_index():
    rows = np.stack(
        [
            np.stack([blob(4, (h, h), value=v) for h, v in enumerate(r)])
            for r in ((0.2, 0.5), (0.5, 0.3))
        ]
    )
    ranking = rank_heads([rows], lowest=3, skip_layers=0, threshold=0)
    assert ranking.top(3) == ((0, 1), (1, 0), (1, 1))
    assert ranking.frequency[0, 0] == 0


def test_blank_heads_are_never_selected():
    rows = np.stack([np.stack([np.full((4, 4), 0.06), blob(4, (0, 0), (2, 2), value=0.3)])])
    ranking = rank_heads([rows], lowest=10, skip_layers=0, threshold=0)
    assert ranking.frequency.tolist() == [[0, 1]]
    with pytest.raises(GroundingError, match="k is 2, but 1 heads are ranked"):
        ranking.top(2)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 6))
def test_ranking_matches_a_loop(seed, samples, lowest):
    rows = np.random.default_rng(seed).dirichlet(np.full(26, 0.2), (samples, 4, 3))[..., :25]
    rows = rows.reshape(samples, 4, 3, 5, 5)
    ranking = rank_heads(iter(rows), lowest=lowest, skip_layers=1)
    mean = rows.sum((-1, -2)).mean(0)
    tau = elbow(mean[1:].ravel())
    votes = np.zeros((4, 3))
    for one in rows:
        scored = []
        for layer, head in itertools.product(range(1, 4), range(3)):
            a = one[layer, head]
            if mean[layer, head] >= tau - 1e-6:
                scored.append((slow_entropy(a > a.mean(), a > a.mean()), -a.sum(), layer, head))
        for *_, layer, head in sorted(
            scored, key=lambda s: (np.float32(s[0]), np.float32(s[1]), s[2:])
        )[:lowest]:
            votes[layer, head] += 1
    assert ranking.threshold == pytest.approx(tau, abs=1e-6)
    assert ranking.frequency == pytest.approx(votes / samples)


def test_samples_are_streamed():
    alive = []

    def stream():
        for _ in range(50):
            rows = sample()
            alive.append(rows.shape)
            yield rows

    measured = measure_heads(stream())
    assert len(alive) == len(measured) == 50
    assert measured.sums.nbytes + measured.entropies.nbytes == 50 * 6 * 2 * 4


def test_measurements_rank_subsets_as_a_new_pass_would():
    rng = np.random.default_rng(3)
    rows = rng.dirichlet(np.full(17, 0.3), (6, 3, 4))[..., :16].reshape(6, 3, 4, 4, 4)
    measured = measure_heads(rows)
    picked = [4, 0, 2]
    assert (
        measured.subset(picked).rank(2, 1).frequency.tolist()
        == rank_heads(rows[picked], 2, 1).frequency.tolist()
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rank_heads([]), "no samples to rank heads by"),
        (lambda: rank_heads(sample()), r"sample 0 has shape \(2, 6, 6\); expected \(L, H, P, Q\)"),
        (lambda: rank_heads([sample(), sample()[:2]]), r"sample 1 has \(L, H\) = \(2, 2\)"),
        (lambda: rank_heads([sample()], skip_layers=3), "skip_layers is 3 but the rows have 3"),
        (lambda: rank_heads([sample()], lowest=0), "lowest is 0; expected at least 1"),
        (lambda: rank_heads([sample()], threshold=float("nan")), "threshold is nan; expected"),
        (lambda: rank_heads([sample()], threshold="best"), "threshold is 'best'; expected"),
        (lambda: HeadMeasurements(np.zeros((2, 3)), np.zeros((2, 3))), r"expected one \(N, L, H\)"),
        (lambda: greedy_heads(sample(), k=0), "k is 0; expected at least 1"),
        (lambda: greedy_heads(sample(), skip_layers=9), "skip_layers is 9"),
    ],
)
def test_ranking_refuses(call, message):
    with pytest.raises(GroundingError, match=message):
        call()


def ranking_of(frequency, sums) -> HeadRanking:
    return HeadRanking(np.array(frequency), np.array(sums), 0.2, 5, skip_layers=0)


def test_the_order_is_by_frequency_then_sum():
    ranking = ranking_of([[0.5, 0.5], [0.5, 1.0]], [[0.3, 0.4], [0.4, 0.1]])
    assert ranking.top(4) == ((1, 1), (0, 1), (1, 0), (0, 0))


def test_agreement_is_spearman_over_selected_heads():
    ranking = ranking_of([[0.9, 0.5], [0.2, 0.0]], [[0.3, 0.4], [0.4, 0.1]])
    assert ranking.correlation([[0.8, 0.6], [0.1, 0.99]])[0] == pytest.approx(1)
    assert ranking.correlation([[0.1, 0.6], [0.8, 0.99]])[0] == pytest.approx(-1)
    assert np.isnan(ranking.correlation(np.zeros((2, 2)), min_frequency=0.5)[0])
    five = ranking_of([[0.9, 0.7, 0.5, 0.3, 0.2]], [[0.1, 0.2, 0.3, 0.4, 0.5]])
    rho, p = five.correlation([[0.9, 0.8, 0.6, 0.7, 0.1]])
    assert rho == pytest.approx(0.9) and p == pytest.approx(0.0374, abs=1e-4)  # t = 3.576, 3 df
    with pytest.raises(GroundingError, match=r"head IoUs have shape \(1, 2\)"):
        ranking.correlation([[0.1, 0.2]])[0]


def test_ranking_dataclass_refuses():
    with pytest.raises(GroundingError, match=r"expected one \(L, H\) for both"):
        ranking_of([[0.5]], [[0.5, 0.1]])
    with pytest.raises(GroundingError, match="frequency runs from 0 to 1.5"):
        ranking_of([[0.0, 1.5]], [[0.5, 0.1]])


# --- greedy


def test_greedy_heads_choose_on_one_sample():
    assert greedy_heads(sample(), k=2, skip_layers=1, threshold=0.4) == ((1, 0), (2, 1))
    # Its own curve's elbow, 0.5034, keeps three heads: fewer come back than requested.
    assert greedy_heads(sample(), k=5, skip_layers=1) == ((1, 0), (2, 1), (1, 1))


def test_greedy_bottom_row_filter_and_fallback():
    rows = sample()
    assert greedy_heads(rows, k=3, skip_layers=1, threshold=0.4, bottom_row_limit=0.05) == (
        (1, 0),
        (2, 1),
    )  # L1H1 has corners in the last row
    assert greedy_heads(rows, k=3, skip_layers=1, threshold=9.0) == ((1, 1),)


def test_a_cell_between_twice_the_mean_and_the_floor_comes_first_in_the_public_code():
    # Mean .01 + .012 / 16, so .022 is above twice of it by .0005: below the floor of .001.
    rows = np.full((3, 1, 4, 4), 0.01)
    rows[1, 0, 0, 0] = 0.022  # some weight, no counted cell
    rows[2, 0, 1, 1] = 0.5  # one component: entropy 0 as well
    given = {"skip_layers": 0, "threshold": 0.0, "binarise": "public-code"}
    assert greedy_heads(rows, k=3, **given) == ((2, 0),)
    # Both have entropy 0, so the layers decide; the flat one has no weight and never counts.
    assert greedy_heads(rows, k=3, public_code=True, **given) == ((1, 0), (2, 0))


def test_the_public_codes_elbow_is_over_all_layers():
    sums = np.array([[0.0, 0.0], [0.0, 0.05], [0.3, 0.5], [0.52, 0.55]])
    rows = np.zeros((4, 2, 4, 4))
    rows[..., 1, 1] = sums
    # Of .3 .5 .52 .55 the elbow is .5; of 0 0 0 .05 .3 .5 .52 .55 it is .05: .3 comes in.
    given = {"k": 5, "skip_layers": 2, "binarise": "public-code"}
    assert set(greedy_heads(rows, **given)) == {(2, 1), (3, 0), (3, 1)}
    whole = greedy_heads(rows, public_code=True, **given)
    assert whole == ((2, 0), (2, 1), (3, 0), (3, 1))


def test_ties_go_to_the_larger_sum_or_in_the_public_code_to_the_index():
    rows = np.zeros((3, 1, 4, 4))
    rows[:, 0, 1, 1] = 0.2, 0.4, 0.6
    given = {"k": 2, "skip_layers": 0, "threshold": 0.0, "binarise": "public-code"}
    assert greedy_heads(rows, **given) == ((2, 0), (1, 0))
    assert greedy_heads(rows, public_code=True, **given) == ((0, 0), (1, 0))


def test_the_share_of_ties():
    sums = np.full((2, 1, 4), 0.5, np.float32)
    entropies = np.array([[[0, 0, 0, 1]], [[0, 0.5, 1, 2]]], np.float32)
    measured = HeadMeasurements(sums, entropies)
    # Four of eight heads at 0; with two counted, the third ties with the second in one of two.
    assert measured.ties(2, 0, 0.0) == (0.5, 0.5)
    assert measured.ties(1, 0, 0.0) == (0.5, 0.5)
    assert measured.ties(3, 0, 0.0) == (0.5, 0.0)


# --- LocalizationHeads


def test_localization_heads_select_their_maps_in_order():
    rows = np.arange(2 * 3 * 4 * 2 * 2).reshape(2, 3, 4, 2, 2)
    heads = LocalizationHeads(((2, 1), (0, 3)), "drawn")
    chosen = heads.select(rows)
    assert chosen.shape == (2, 2, 2, 2)
    assert np.array_equal(chosen[1, 0], rows[1, 2, 1])
    assert np.array_equal(chosen[1, 1], rows[1, 0, 3])
    with pytest.raises(GroundingError, match="L2H1 is outside the model's 2 layers of 4"):
        heads.select(np.zeros((2, 4, 2, 2)))
    with pytest.raises(GroundingError, match=r"rows have shape \(4, 4\)"):
        heads.select(np.zeros((4, 4)))


def test_localization_heads_from_json():
    heads = LocalizationHeads([[14, 24], [3, 1], [14, 13]], "drawn")
    assert heads.heads == ((14, 24), (3, 1), (14, 13)) == tuple(heads)
    assert len(heads) == 3
    assert heads == LocalizationHeads(((14, 24), (3, 1), (14, 13)), "drawn")


@pytest.mark.parametrize(
    ("heads", "provenance", "message"),
    [
        ((), "x", "heads is empty"),
        (((1, 2), (1, 2)), "x", "names a head twice"),
        (((1, 2),), " ", "provenance is ' '; say in words"),
        ("L14H24", "x", "heads is 'L14H24'; expected a list"),
        (((1, -2),), "x", r"head \(1, -2\) is not a \(layer, head\) pair"),
        (((1, 2.5),), "x", "is not a"),
        ((7,), "x", "head 7 is not a"),
        (((True, 2),), "x", "is not a"),
    ],
)
def test_localization_heads_refuse(heads, provenance, message):
    with pytest.raises(GroundingError, match=message):
        LocalizationHeads(heads, provenance)


def test_phrase_contrast_is_the_weight_that_moves() -> None:
    rows, others = np.zeros((2, 1, 2, 2, 2))
    rows[0, :, 0, 0] = others[0, :, 0, 0] = 0.3  # both heads keep this
    rows[0, 1, 0, 1], others[0, 1, 1, 0] = 0.5, 0.5  # the second head moves this
    assert phrase_contrast(rows, others).tolist() == [[0.0, 0.5]]


def test_phrase_contrast_refuses_two_pictures() -> None:
    with pytest.raises(GroundingError, match="expected two phrases over one picture"):
        phrase_contrast(np.zeros((1, 2, 3, 3)), np.zeros((1, 2, 4, 4)))
