"""Measurements of speed. Nothing here is a test: a figure is a ratio from one run on one machine.

Each module measures one subject: ``measure(quick)`` returns rows, and ``python -m benchmarks metric`` runs one alone.
"""
