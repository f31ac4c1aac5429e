"""Files, processes, cores and GPUs, progress, and the virtual environment."""
