"""Folds on Kaggle's own machines, as private kernels, through the package ``kaggle`` alone.

``folds`` decides what to do: fetch what a kernel has left, wait for one that runs, push a new one. A kernel's name
contains a hash of what it trains on, its folds and its number, so that a command that was killed finds its kernels by
their names (``names``, ``records``). A kernel is one script (``script``): ``kernel``, which uses the standard library
alone, and the package as a wheel (``wheel``) inside a text. It runs the same commands as at home, in a folder like that
at home, and leaves a zip for each fold. ``fetch`` compares the files with the hashes in their manifests.
"""
