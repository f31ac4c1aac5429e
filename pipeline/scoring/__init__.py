"""The competition's metric, and everything that is chosen by it."""
