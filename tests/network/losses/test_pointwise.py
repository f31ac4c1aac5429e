"""Cross-entropy and focal loss, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.network.losses import make_loss
from tests.network.losses.helpers import value

pytestmark = pytest.mark.backends


def test_crossentropy_by_hand():
    truth = np.array([1.0, 0.0]).reshape(1, 1, 2, 1).astype(np.float32)
    logits = np.array([2.0, -1.0]).reshape(1, 1, 2, 1)
    expected = (np.log(1 + np.exp(-2)) + np.log(1 + np.exp(-1))) / 2
    assert value(make_loss("bce"), truth, logits) == pytest.approx(expected, rel=1e-5)


def test_focal_by_hand():
    truth = np.ones((1, 1, 1, 1), np.float32)
    chance = 1 / (1 + np.exp(-0.5))
    expected = -((1 - chance) ** 2) * np.log(chance)
    assert value(make_loss("focal"), truth, np.full((1, 1, 1, 1), 0.5)) == pytest.approx(expected, rel=1e-5)
