"""Files, processors and progress."""
