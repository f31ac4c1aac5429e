"""Measurements of speed. Nothing here is a test: a figure is a ratio from one run on one machine."""
