"""Pixel weights: highest between two bodies, flat without any."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.network.border_weights import border_weights


def test_border_weights_are_highest_between_two_bodies():
    mask = np.zeros((40, 40), np.uint8)
    mask[5:35, 5:18], mask[5:35, 22:35] = 1, 1
    weights = border_weights(mask)
    assert weights.shape == mask.shape
    assert weights.dtype == np.float32
    gap, outside, corner = weights[20, 20], weights[20, 3], weights[0, 0]
    assert gap > outside
    assert gap > corner
    assert gap == pytest.approx(0.5 / (1 - mask.mean()) + 10 * np.exp(-(5**2) / 50), rel=0.05)


def test_border_weights_rise_towards_the_rim_of_one_body_and_are_constant_without_any():
    mask = np.zeros((40, 40), np.uint8)
    assert len(np.unique(border_weights(mask))) == 1
    mask[15:25, 15:25] = 1
    weights = border_weights(mask)
    assert weights[20, 14] > weights[20, 10] > weights[20, 0]
    assert weights[20, 20] == pytest.approx(2.0)  # the rare class weighs more, up to a limit
