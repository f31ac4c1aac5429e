"""A name for each file of the raw and of the decoded tiles; ``pipeline.artifacts`` lists them for the manifests."""

from __future__ import annotations

from pipeline.artifacts import RAW_FILES, RAW_FOLDERS, TILE_FILES

TRAIN_CSV, DEPTHS_CSV, SAMPLE_SUBMISSION_CSV = RAW_FILES
"""The competition's tables: ``id,rle_mask`` of labelled tiles, ``id,z`` of all tiles, ``id,rle_mask`` of test tiles."""
RAW_TRAIN_IMAGES, RAW_TRAIN_MASKS, RAW_TEST_IMAGES = RAW_FOLDERS
"""The competition's folders of ``ID.png``."""
TRAIN_IMAGES, TRAIN_MASKS, TEST_IMAGES, TRAIN_TABLE, TEST_TABLE = TILE_FILES
"""The decoded arrays and tables that ``pipeline.data.tiles`` reads."""
