"""The competition's metric, and everything that is chosen by it: threshold, smallest area, rules and blend weights."""
