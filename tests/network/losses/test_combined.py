"""The loss of a network with several outputs."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.config import NetworkSettings
from pipeline.network.losses import make_loss
from tests.network.losses.helpers import masks, value

pytestmark = pytest.mark.backends


def test_the_multi_output_loss_adds_the_head_and_each_coarser_level():
    truth, draw = masks(3), np.random.default_rng(2)
    truth[0] = 0
    logits, coarse, coarsest = draw.normal(0, 2, (3, 3, 8, 8, 1))
    tile = np.array([-3.0, 2.0, 0.5])
    spread = np.broadcast_to(tile[:, None, None, None], logits.shape)
    network = NetworkSettings(empty_head=0.3, deep_supervision=0.2)
    total = value(make_loss("bce_dice", network), truth, np.concatenate([logits, spread, coarse, coarsest], -1))
    plain = make_loss("bce_dice")
    head = np.mean(np.log1p(np.exp(-tile * np.array([-1, 1, 1]))))
    # A level of half the size counts with a quarter of its pixels, and so on.
    levels = [
        value(plain, truth[:, ::2, ::2], coarse[:, ::2, ::2]),
        value(plain, truth[:, ::4, ::4], coarsest[:, ::4, ::4]),
    ]
    assert total == pytest.approx(value(plain, truth, logits) + 0.3 * head + 0.2 * sum(levels), rel=1e-5)


def test_tiles_without_salt_may_be_left_out_of_the_coarser_levels():
    truth, draw = masks(3), np.random.default_rng(2)
    truth[0] = 0
    logits, coarse = draw.normal(0, 2, (2, 3, 8, 8, 1))
    network = NetworkSettings(empty_head=0, deep_supervision=0.2, deep_supervision_tiles="salt")
    total = value(make_loss("bce_dice", network), truth, np.concatenate([logits, coarse], -1))
    plain = make_loss("bce_dice")
    salt = value(plain, truth[1:, ::2, ::2], coarse[1:, ::2, ::2])  # the mean over two of the three tiles
    assert total == pytest.approx(value(plain, truth, logits) + 0.2 * salt * 2 / 3, rel=1e-5)
