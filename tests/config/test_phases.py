"""The epoch in which a phase of a training begins."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest

from pipeline.config.phases import epochs_before


@pytest.mark.parametrize("percent", range(101))
def test_the_share_is_that_of_the_decimal_number(percent: int):
    for epochs in (1, 7, 14, 20, 25, 48, 50, 100, 180, 300, 600):
        assert epochs_before(percent / 100, epochs) == ceil(Fraction(percent, 100) * epochs)
