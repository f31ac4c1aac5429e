"""From tiles to salt probabilities."""
