from __future__ import annotations

import numpy as np
import pytest
from groundbrush.inpaint import InpaintSettings
from groundbrush.inpaint.crop import bucket_sizes, choose_bucket, crop_window, plan_crop
from groundbrush.inpaint.support import mask_box
from hypothesis import given
from hypothesis import strategies as st


@st.composite
def boxes_in_images(draw):
    width, height = draw(st.integers(1, 900)), draw(st.integers(1, 900))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    right, bottom = draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))
    return (left, top, right, bottom), (width, height)


def test_mask_box_is_half_open():
    mask = np.zeros((5, 7), bool)
    mask[1, 2] = mask[3, 5] = True
    assert mask_box(mask) == (2, 1, 6, 4)
    assert mask_box(mask, 1) == (1, 0, 7, 5)
    assert mask_box(mask, 3) == (0, 0, 7, 5)


def test_mask_box_of_nothing_has_no_area():
    assert mask_box(np.zeros((5, 7), bool)) == (0, 0, 0, 0)


def test_sdxl_buckets():
    buckets = bucket_sizes(1024)
    assert (1024, 1024) in buckets
    assert (832, 1216) in buckets
    assert (1216, 832) in buckets
    assert all(width % 64 == 0 and height % 64 == 0 for width, height in buckets)
    assert all(0.85 * 1024**2 < width * height <= 1024**2 for width, height in buckets)
    assert {(height, width) for width, height in buckets} == set(buckets)


@pytest.mark.parametrize("size", [64, 128, 192, 512, 768, 2048])
def test_buckets_of_other_sizes(size):
    for width, height in bucket_sizes(size):
        assert width % 64 == height % 64 == 0
        assert 0 < width * height <= size**2


@pytest.mark.parametrize(
    ("aspect", "bucket"),
    [(1.0, (1024, 1024)), (1.5, (1216, 832)), (2 / 3, (832, 1216)), (50, (2048, 512))],
)
def test_choose_bucket(aspect, bucket):
    assert choose_bucket(aspect, bucket_sizes(1024)) == bucket


def test_window_of_a_centred_box():
    # 20 wide, 10 high, context 1.5: 30 x 15, made square by growing to 30 x 30.
    assert crop_window((40, 45, 60, 55), (100, 100), 1.0, 1.5, 0) == (35, 35, 65, 65)


def test_window_at_the_corner_is_shifted_not_cut():
    assert crop_window((90, 0, 100, 10), (100, 100), 1.0, 2.0, 0) == (80, 0, 100, 20)


def test_window_of_a_tiny_box_gets_the_minimum_context():
    assert crop_window((50, 50, 51, 51), (200, 200), 1.0, 1.4, 16) == (34, 34, 67, 67)


def test_window_shrinks_the_other_side_to_keep_the_aspect():
    # Context needs 140 x 140; the image is 120 wide, so the height shrinks to 120 too.
    left, top, right, bottom = crop_window((10, 400, 110, 500), (120, 1000), 1.0, 1.4, 0)
    assert (left, right) == (0, 120)
    assert bottom - top == 120
    assert top <= 400
    assert bottom >= 500


def test_window_never_shrinks_below_the_box():
    assert crop_window((0, 0, 30, 300), (30, 400), 1.0, 1.2, 0) == (0, 0, 30, 300)


@given(
    boxes_in_images(),
    st.sampled_from([(1024, 1024), (512, 2048), (1216, 832), (2048, 512)]),
    st.floats(1, 4),
    st.integers(0, 64),
)
def test_window_laws(box_and_image, canvas, context, minimum):
    box, (width, height) = box_and_image
    aspect = canvas[0] / canvas[1]
    left, top, right, bottom = crop_window(box, (width, height), aspect, context, minimum)
    assert 0 <= left <= box[0] < box[2] <= right <= width
    assert 0 <= top <= box[1] < box[3] <= bottom <= height
    wide, high = right - left, bottom - top
    # The aspect is off by rounding alone, except where the image ends and the box forbids less.
    too_narrow = wide + 0.5 < (high - 0.5) * aspect
    too_flat = high + 0.5 < (wide - 0.5) / aspect
    if too_narrow:
        assert wide == width
        assert high == box[3] - box[1]
    if too_flat:
        assert high == height
        assert wide == box[2] - box[0]


@given(boxes_in_images(), st.sampled_from(["sdxl", "square"]))
def test_plan_lies_inside_and_uses_a_bucket(box_and_image, buckets):
    box, image_wh = box_and_image
    settings = InpaintSettings(buckets=buckets)
    crop = plan_crop(box, image_wh, settings)
    assert crop.canvas in bucket_sizes(1024, buckets)
    pixels = np.empty((image_wh[1], image_wh[0]), np.uint8)[crop.slices]
    left, top, right, bottom = crop.window
    assert pixels.shape == (bottom - top, right - left)


def test_plan_follows_the_shape_of_the_support():
    tall = plan_crop((450, 100, 550, 900), (1000, 1000), InpaintSettings())
    assert tall.canvas[1] > 2 * tall.canvas[0]
