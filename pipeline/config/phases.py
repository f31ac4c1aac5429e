"""When a phase of a training begins."""

from __future__ import annotations

import math


def epochs_before(share: float, epochs: int) -> int:
    """The number of whole epochs before a phase that begins after a share of all epochs; part of an epoch counts whole.

    Args:
        share: from 0 to 1.
        epochs: of the training.

    Example:
        >>> epochs_before(0.55, 20), epochs_before(0.3, 48)
        (11, 15)
    """
    # 0.55 * 20 is 11.000000000000002 as a float, which would be rounded up to 12.
    return math.ceil(round(share * epochs, 9))
