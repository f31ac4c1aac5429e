"""The base class of the sections, and the value types that several sections use."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

TILE = 101
"""Side of a competition tile in pixels."""

Count = Annotated[int, Meta(ge=1, le=10**6)]
Natural = Annotated[int, Meta(ge=0, le=10**6)]
Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
FractionBelowOne = Annotated[float, Meta(ge=0.0, lt=1.0)]
OpenFraction = Annotated[float, Meta(gt=0.0, lt=1.0)]
Positive = Annotated[float, Meta(gt=0.0, le=1e6)]
NonNegative = Annotated[float, Meta(ge=0.0, le=1e6)]
Seed = Annotated[int, Meta(ge=0, lt=2**31)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One section of the settings: immutable; unknown names are rejected."""
