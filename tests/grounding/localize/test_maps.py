"""Maps to masks, boxes and pixels, on drawn arrays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.localize.maps import (
    cells_to_pixels,
    combine_maps,
    component_boxes,
    largest_component,
    largest_component_box,
    normalise_map,
    peaks,
    pseudo_mask,
    token_map_to_image,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

masks = hnp.arrays(bool, st.tuples(st.integers(1, 8), st.integers(1, 8)))


def padded_square(width: int, height: int) -> tuple[float, float, float, float]:
    """The region of a picture padded to a centred square."""
    side = max(width, height)
    x0, y0 = (width - side) / 2, (height - side) / 2
    return x0, y0, x0 + side, y0 + side


# --- combine


def test_combine_without_smoothing_adds():
    maps = np.arange(12.0).reshape(3, 2, 2)
    assert combine_maps(maps, sigma=0).tolist() == [[12, 15], [18, 21]]
    assert combine_maps(maps, kernel=1).tolist() == [[12, 15], [18, 21]]
    assert combine_maps(maps).dtype == np.float32


def test_combine_uses_a_seven_tap_gaussian():
    point = np.zeros((1, 15, 15))
    point[0, 7, 7] = 1
    smooth = combine_maps(point)
    taps = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    taps /= taps.sum()
    assert smooth[4:11, 4:11] == pytest.approx(np.outer(taps, taps), abs=1e-7)
    assert smooth[7, 3] == smooth[3, 7] == 0
    assert combine_maps(point, kernel=9)[7, 3] > 0


def test_combine_agrees_with_opencv_in_all_of_a_map():
    maps = np.random.default_rng(0).random((3, 24, 20)).astype(np.float32)
    expected = cv2.GaussianBlur(maps.sum(0), (7, 7), 1.0, borderType=cv2.BORDER_REFLECT)
    assert combine_maps(maps) == pytest.approx(expected, abs=1e-5)


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, (2, 5, 4), elements=st.floats(0, 1)),
    st.floats(0, 5),
    st.sampled_from([1, 3, 7, 11]),
)
def test_combine_keeps_the_attention_sum(maps, sigma, kernel):
    assert combine_maps(maps, sigma, kernel).sum() == pytest.approx(maps.sum(), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: combine_maps(np.eye(3)), r"shape \(3, 3\); expected a non-empty \(k, P, Q\)"),
        (lambda: combine_maps(np.zeros((0, 3, 3))), "non-empty"),
        (lambda: combine_maps(np.zeros((1, 3, 3)), sigma=-1), "sigma is -1; expected 0"),
        (lambda: combine_maps(np.zeros((1, 3, 3)), kernel=6), "kernel is 6; expected an odd"),
        (lambda: combine_maps(np.full((1, 3, 3), np.inf)), "9 values that are not finite"),
    ],
)
def test_combine_refuses(call, message):
    with pytest.raises(GroundingError, match=message):
        call()


# --- binarise and box


def test_pseudo_mask_is_strictly_above_the_mean():
    # mean 2: the cell at the mean stays out
    assert pseudo_mask([[1, 2, 3], [0, 2, 4]]).tolist() == [[0, 0, 1], [0, 0, 1]]


@pytest.mark.parametrize("value", [0.1, 0.0, 1 / 3])
def test_pseudo_mask_of_a_constant_map_is_empty(value):
    assert not pseudo_mask(np.full((24, 24), value)).any()


def test_largest_component_box():
    mask = np.zeros((6, 7), dtype=bool)
    mask[0, 0] = mask[0, 1] = True
    mask[2, 3] = mask[3, 4] = mask[4, 5] = True  # joined by corners
    assert largest_component_box(mask) == (3, 2, 6, 5)
    assert largest_component_box(mask, all_components=True) == (0, 0, 6, 5)
    assert component_boxes(mask) == ((3, 2, 6, 5), (0, 0, 2, 1))
    assert largest_component(mask).sum() == 3
    assert all(isinstance(n, int) for n in largest_component_box(mask))


def test_area_counts_and_not_extent():
    mask = np.zeros((6, 6), dtype=bool)
    mask[0, :4] = True
    mask[3:5, 0:3] = True
    assert largest_component_box(mask) == (0, 3, 3, 5)


def test_equal_components_keep_reading_order():
    assert component_boxes([[0, 0, 1], [0, 0, 0], [1, 0, 0]]) == ((2, 0, 3, 1), (0, 2, 1, 3))


def test_empty_mask_has_no_box():
    empty = np.zeros((3, 3), dtype=bool)
    assert largest_component_box(empty) is None
    assert largest_component_box(empty, all_components=True) is None
    assert component_boxes(empty) == ()
    assert not largest_component(empty).any()


@settings(deadline=None)
@given(masks)
def test_boxes_agree_with_opencv(mask):
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    expected = sorted((x, y, x + w, y + h) for x, y, w, h, _ in stats[1:count].tolist())
    found = component_boxes(mask)
    assert sorted(found) == expected
    if expected:
        assert largest_component(mask).sum() == stats[1:, cv2.CC_STAT_AREA].max()
        x0, y0, x1, y1 = largest_component_box(mask)
        assert mask[y0:y1, x0:x1].sum() >= stats[1:, cv2.CC_STAT_AREA].max()


def test_masks_are_checked():
    with pytest.raises(GroundingError, match="mask holds values up to 0.5; expected a boolean"):
        largest_component_box([[0.5, 0]])
    with pytest.raises(GroundingError, match=r"expected a non-empty \(P, Q\)"):
        component_boxes([True])
    with pytest.raises(GroundingError, match=r"the map have shape \(4,\)"):
        pseudo_mask(np.zeros(4))


# --- to the image


def test_map_to_image_interpolates_between_cell_centres():
    # Two cells over four pixels: centres at 1 and 3; pixels at .5, 1.5, 2.5, 3.5.
    found = token_map_to_image([[0.0, 1.0]], (0, 0, 4, 1), (4, 1))
    assert found.tolist() == [[0.0, 0.25, 0.75, 1.0]]
    assert found.dtype == np.float32


def test_map_to_image_undoes_padding():
    # A 4x2 picture in a 4x4 square: rows 1 and 2 of the grid are the picture.
    grid = np.arange(16.0).reshape(4, 4)
    assert np.array_equal(token_map_to_image(grid, (0, -1, 4, 3), (4, 2)), grid[1:3])


def test_map_to_image_undoes_cropping():
    # The centre 2x2 of a 4x2 picture was seen: pixels beside it are not spoken for.
    grid = np.array([[1.0, 2.0], [3.0, 4.0]])
    found = token_map_to_image(grid, (1, 0, 3, 2), (4, 2))
    assert found.tolist() == [[0, 1, 2, 0], [0, 3, 4, 0]]


def test_map_to_image_is_opencv_resize_without_padding():
    grid = np.random.default_rng(1).random((24, 24)).astype(np.float32)
    expected = cv2.resize(grid, (97, 61), interpolation=cv2.INTER_LINEAR)
    assert token_map_to_image(grid, (0, 0, 97, 61), (97, 61)) == pytest.approx(expected, abs=1e-5)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(40, 200),
    st.integers(40, 200),
    st.sampled_from([8, 24]),
    st.floats(0.15, 0.85),
    st.floats(0.15, 0.85),
)
def test_a_block_painted_in_the_padded_square_comes_back_in_place(width, height, grid, u, v):
    x0, y0, x1, _ = region = padded_square(width, height)
    cell = (x1 - x0) / grid
    column, row = (int((p - o) / cell) for p, o in ((u * width, x0), (v * height, y0)))
    tokens = np.zeros((grid, grid), dtype=np.float32)
    tokens[row, column] = 1
    image = token_map_to_image(tokens, region, (width, height))
    ys, xs = np.mgrid[:height, :width] + 0.5
    centre = np.array([(xs * image).sum(), (ys * image).sum()]) / image.sum()
    expected = (np.array((column, row)) + 0.5) * cell + (x0, y0)
    assert np.abs(centre - expected).max() <= cell / 2
    # At the very centre of the cell the map is at its height, up to the pixel raster.
    y, x = np.unravel_index(np.argmax(image), image.shape)
    inside = (expected >= 0.5) & (expected <= np.array([width, height]) - 0.5)
    assert (np.abs(np.array([x, y]) + 0.5 - expected)[inside] <= max(0.51, cell / 2)).all()


@settings(deadline=None)
@given(st.integers(5, 60), st.integers(5, 60), st.floats(0.5, 2), st.integers(1, 6))
def test_a_linear_ramp_is_reproduced_exactly(width, height, zoom, cells):
    # Bilinear resampling is exact for a ramp between the outer cell centres, at any region.
    side = max(width, height) * (0.5 + zoom)
    x0, y0 = (width - side) / 2, (height - side) / 2
    columns = x0 + (np.arange(cells) + 0.5) * side / cells
    image = token_map_to_image(
        np.tile(columns, (cells, 1)), (x0, y0, x0 + side, y0 + side), (width, height)
    )
    pixels = np.arange(width) + 0.5
    between = (pixels >= columns[0]) & (pixels <= columns[-1])
    rows = (np.arange(height) + 0.5 >= y0) & (np.arange(height) + 0.5 < y0 + side)
    found = image[rows][:, between]
    assert found == pytest.approx(np.tile(pixels[between], (rows.sum(), 1)), abs=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: token_map_to_image(np.eye(2), (5, 0, 9, 4), (4, 4)), "does not meet the image"),
        (lambda: token_map_to_image(np.eye(2), (3, 0, 1, 4), (4, 4)), "the region is .*x1 > x0"),
        (lambda: token_map_to_image(np.eye(2), (0, 0, 1), (4, 4)), "expected .x0, y0, x1, y1."),
        (lambda: token_map_to_image(np.eye(2), (0, 0, np.nan, 1), (4, 4)), "nan.*finite"),
        (lambda: token_map_to_image(np.eye(2), (0, 0, 4, 4), (4, 0)), r"size_wh is \(4, 0\)"),
        (lambda: token_map_to_image(np.eye(2), (0, 0, 4, 4), 4), "size_wh is 4; expected"),
        (lambda: token_map_to_image(np.zeros((1, 2, 2)), (0, 0, 4, 4), (4, 4)), "the map have"),
    ],
)
def test_map_to_image_refuses(call, message):
    with pytest.raises(GroundingError, match=message):
        call()


# --- cells to pixels


def test_cells_to_pixels_by_hand():
    # 275x183 in a 275 square: 46 px of padding above and below; a cell is 275/24 px.
    region = padded_square(275, 183)
    assert region == (0, -46, 275, 229)
    found = cells_to_pixels((6, 0, 12, 24), (24, 24), region, (275, 183))
    assert found == pytest.approx((68.75, 0, 137.5, 183))
    assert cells_to_pixels((6, 8, 12, 16), (24, 24), region, (275, 183)) == pytest.approx(
        (68.75, 275 / 3 - 46, 137.5, 550 / 3 - 46)
    )


def test_a_box_in_the_padding_is_none():
    assert cells_to_pixels((0, 0, 24, 4), (24, 24), (0, -46, 275, 229), (275, 183)) is None


@settings(deadline=None)
@given(
    st.integers(10, 400),
    st.integers(10, 400),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.data(),
)
def test_cells_to_pixels_can_be_undone(width, height, grid, data):
    rows, columns = grid
    x0, x1 = sorted(
        data.draw(st.lists(st.integers(0, columns), min_size=2, max_size=2, unique=True))
    )
    y0, y1 = sorted(data.draw(st.lists(st.integers(0, rows), min_size=2, max_size=2, unique=True)))
    rx0, ry0, rx1, ry1 = region = padded_square(width, height)
    found = cells_to_pixels((x0, y0, x1, y1), grid, region, (width, height))
    sx, sy = columns / (rx1 - rx0), rows / (ry1 - ry0)
    edge_x, edge_y = np.array([0, width]) - rx0, np.array([0, height]) - ry0
    wanted = (*np.clip((x0, x1), *edge_x * sx), *np.clip((y0, y1), *edge_y * sy))
    if found is None:
        assert wanted[0] == pytest.approx(wanted[1]) or wanted[2] == pytest.approx(wanted[3])
    else:
        back = (
            (found[0] - rx0) * sx,
            (found[2] - rx0) * sx,
            (found[1] - ry0) * sy,
            (found[3] - ry0) * sy,
        )
        assert back == pytest.approx(wanted, abs=1e-9)
        assert 0 <= found[0] < found[2] <= width
        assert 0 <= found[1] < found[3] <= height


@settings(deadline=None)
@given(st.integers(20, 90), st.integers(20, 90), st.integers(0, 7), st.integers(0, 7))
def test_box_and_map_agree_on_where_a_cell_is(width, height, column, row):
    region = padded_square(width, height)
    box = cells_to_pixels((column, row, column + 1, row + 1), (8, 8), region, (width, height))
    tokens = np.zeros((8, 8))
    tokens[row, column] = 1
    image = token_map_to_image(tokens, region, (width, height))
    if box is None:
        assert image.max() <= 0.5  # only the slope into a cell of padding reaches the picture
        return
    ys, xs = np.nonzero(image > 0.5)
    x0, y0, x1, y1 = box
    assert ((xs + 0.5 >= x0) & (xs + 0.5 <= x1)).all()
    assert ((ys + 0.5 >= y0) & (ys + 0.5 <= y1)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cells_to_pixels((2, 2, 2, 3), (4, 4), (0, 0, 8, 8), (8, 8)), "the box is .2, 2"),
        (lambda: cells_to_pixels((0, 0, 5, 3), (4, 4), (0, 0, 8, 8), (8, 8)), "outside the grid"),
        (lambda: cells_to_pixels((0, 0, 1, 1), (4, 0), (0, 0, 8, 8), (8, 8)), r"grid_hw is \(4"),
        (lambda: cells_to_pixels((0, 0, 1, 1), (4, 4), (0, 0, 0, 8), (8, 8)), "the region is"),
        (lambda: cells_to_pixels((0, 0, 1, 1), (4, 4), (0, 0, 8, 8), (8.5, 8)), "size_wh is"),
    ],
)
def test_cells_to_pixels_refuses(call, message):
    with pytest.raises(GroundingError, match=message):
        call()


# --- the rest


def test_normalise_map():
    assert normalise_map([[-1, 0], [1, 3]]).tolist() == [[0, 0.25], [0.5, 1]]
    assert normalise_map(np.full((2, 2), 0.3)).tolist() == [[0, 0], [0, 0]]


@settings(deadline=None)
@given(hnp.arrays(np.float32, (3, 4), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_normalise_map_stays_in_range_and_in_order(drawn):
    found = normalise_map(drawn)
    assert found.dtype == np.float32
    assert found.min() >= 0 and found.max() <= 1
    assert found.ravel()[np.argmax(drawn)] == found.max()


def test_peaks_are_apart_and_ranked():
    grid = np.zeros((9, 9))
    grid[1, 1], grid[1, 2], grid[7, 7], grid[4, 1] = 5, 4, 6, 3
    assert peaks(grid, 5).tolist() == [[7, 7], [1, 1], [1, 4]]
    assert peaks(grid, 5, min_distance=3.5).tolist() == [[7, 7], [1, 1]]
    assert peaks(grid, 1).tolist() == [[7, 7]]


def test_peaks_of_plateaus_and_constants():
    grid = np.zeros((5, 6))
    grid[2, 1:4] = 1
    assert peaks(grid, 5, min_distance=3).tolist() == [[1, 2]]
    assert peaks(np.ones((4, 4)), 3).shape == (0, 2)


@settings(deadline=None)
@given(hnp.arrays(np.float64, (6, 7), elements=st.integers(0, 5).map(float)), st.integers(1, 4))
def test_the_first_peak_is_the_highest_cell(grid, count):
    found = peaks(grid, count)
    assert len(found) <= count
    if grid.min() < grid.max():
        x, y = found[0]
        assert grid[y, x] == grid.max()


def test_peaks_refuse():
    with pytest.raises(GroundingError, match="count is 0"):
        peaks(np.eye(3), 0)
    with pytest.raises(GroundingError, match="min_distance is -1"):
        peaks(np.eye(3), 1, -1)
