"""Load trained networks and predict salt probabilities."""

CHUNK = 512
"""Tiles that are predicted at once."""
