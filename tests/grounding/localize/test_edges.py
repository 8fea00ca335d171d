"""Refined edges follow the colours, and stay within their band."""

from __future__ import annotations

import numpy as np
from groundbrush.grounding.localize.edges import refine_edges


def shape_on_noise(seed=0):
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[0:120, 0:160]
    truth = (xs - 70) ** 2 / 40**2 + (ys - 60) ** 2 / 30**2 < 1
    image = np.where(truth[..., None], (200, 60, 40), (60, 120, 70)) + rng.normal(
        0, 8, (120, 160, 3)
    )
    return image.clip(0, 255).astype(np.uint8), truth


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_edges_move_to_the_colours():
    image, truth = shape_on_noise()
    rough = np.roll(truth, (2, -2), (0, 1))
    rough[5:8, 150:154] = True  # a speck
    refined = refine_edges(image, rough)
    assert iou(rough, truth) < 0.93 < 0.985 < iou(refined, truth)
    np.testing.assert_array_equal(refined, refine_edges(image, rough))


def test_edges_stay_within_the_band():
    import cv2

    image, truth = shape_on_noise()
    rough = np.roll(truth, 9, 1)
    refined = refine_edges(image, rough)
    kernel = np.ones((7, 7), np.uint8)
    outer = cv2.dilate(rough.astype(np.uint8), kernel).astype(bool)
    inner = cv2.erode(rough.astype(np.uint8), kernel).astype(bool)
    assert not (refined & ~outer).any()
    assert not (inner & ~refined).any()


def test_edges_of_a_large_picture():
    import cv2

    image, truth = shape_on_noise()
    image = cv2.resize(image, (1600, 1200), interpolation=cv2.INTER_CUBIC)
    truth = cv2.resize(truth.astype(np.uint8), (1600, 1200), interpolation=cv2.INTER_NEAREST) > 0
    rough = np.roll(truth, 4, 1)
    refined = refine_edges(image, rough)
    assert refined.shape == (1200, 1600)
    assert iou(refined, truth) > iou(rough, truth)


def test_edges_without_anything_to_go_by():
    image, truth = shape_on_noise()
    thin = np.zeros_like(truth)
    thin[50:53, 20:100] = True
    np.testing.assert_array_equal(refine_edges(image, thin), thin)
    everything = np.ones_like(truth)
    np.testing.assert_array_equal(refine_edges(image, everything), everything)
    nothing = np.zeros_like(truth)
    np.testing.assert_array_equal(refine_edges(image, nothing), nothing)


def test_all_components_can_be_kept():
    image, truth = shape_on_noise()
    both = truth.copy()
    both[100:118, 130:158] = True
    assert not refine_edges(image, both)[104:114, 135:155].any()
    assert refine_edges(image, both, largest_only=False)[104:114, 135:155].all()
