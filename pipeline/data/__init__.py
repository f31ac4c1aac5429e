"""The tiles: sources, decoding, tables, folds, run-length encoding, and the transform to the network's input."""
