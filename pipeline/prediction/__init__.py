"""Load trained networks and predict salt probabilities."""
