"""Names of the files that hold the tiles: as downloaded, and as arrays and tables."""

from __future__ import annotations

from pipeline.artifacts import RAW_FILES, RAW_FOLDERS, SOLUTION, TILE_FILES

__all__ = ["RAW_FILES", "RAW_FOLDERS", "SOLUTION", "TILE_FILES"]

TRAIN_CSV, DEPTHS_CSV, SAMPLE_SUBMISSION_CSV = RAW_FILES
"""The competition's tables: ``id,rle_mask`` of labelled tiles, ``id,z`` of all tiles, ``id,rle_mask`` of test tiles."""
RAW_TRAIN_IMAGES, RAW_TRAIN_MASKS, RAW_TEST_IMAGES = RAW_FOLDERS
"""The competition's folders of ``ID.png``."""
TRAIN_IMAGES, TRAIN_MASKS, TEST_IMAGES, TRAIN_TABLE, TEST_TABLE = TILE_FILES
"""The decoded arrays and tables that ``pipeline.data.tiles`` reads."""
FOLDS = "folds.csv"
"""The fold of each labelled tile."""
