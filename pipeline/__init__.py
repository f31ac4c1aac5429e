"""A pipeline for the TGS Salt Identification Challenge: from Kaggle's archive to a checked submission."""

__version__ = "0.1.0"

INTERRUPTED = "interrupted; run the same command again to continue"
"""The message of a command that a signal has ended; its exit status is ``EXIT_INTERRUPTED``."""
EXIT_INTERRUPTED = 130
