"""Colours of the charts, which colour-blind readers can distinguish."""

from __future__ import annotations

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555", "#F0E442")
"""Okabe and Ito's palette."""
NAMES = ("blue", "red", "green", "pink", "orange", "sky", "grey", "yellow")
"""Their CSS variables in ``templates/base.html.j2``."""
