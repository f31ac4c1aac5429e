"""Tiles, masks, depths and folds."""
