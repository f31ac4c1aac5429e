"""Slices that cover all tiles."""

from __future__ import annotations

import pytest

from pipeline.scoring import chunks


def test_chunks_cover_every_tile_once() -> None:
    assert [*chunks.chunks(5, 2)] == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert [*chunks.chunks(4, 2)] == [slice(0, 2), slice(2, 4)]
    assert [*chunks.chunks(0, 2)] == []


def test_the_default_size_is_the_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 3)
    assert [*chunks.chunks(4)] == [slice(0, 3), slice(3, 4)]
