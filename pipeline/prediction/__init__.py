"""From tiles to salt probabilities."""

CHUNK = 512
"""Tiles that are predicted at once."""
