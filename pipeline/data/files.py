"""Names of the files that hold the tiles: as downloaded, and as arrays and tables."""

RAW_FILES = ("train.csv", "depths.csv", "sample_submission.csv")
TRAIN_CSV, DEPTHS_CSV, SAMPLE_SUBMISSION_CSV = RAW_FILES
"""The competition's tables: ``id,rle_mask`` of labelled tiles, ``id,z`` of all tiles, ``id,rle_mask`` of test tiles."""
RAW_FOLDERS = ("train/images", "train/masks", "test/images")
RAW_TRAIN_IMAGES, RAW_TRAIN_MASKS, RAW_TEST_IMAGES = RAW_FOLDERS
"""The competition's folders of ``ID.png``."""
SOLUTION = "solution.csv"
"""The known test answers, which only the built-in survey has."""
TILE_FILES = ("train_images.npy", "train_masks.npy", "test_images.npy", "train.csv", "test.csv")
TRAIN_IMAGES, TRAIN_MASKS, TEST_IMAGES, TRAIN_TABLE, TEST_TABLE = TILE_FILES
"""The decoded arrays and tables."""
FOLDS = "folds.csv"
"""The fold of each labelled tile."""
PAIRS, SECTIONS = "pairs.csv", "sections.csv"
"""Neighbouring tiles, and the section and place of each tile."""
SECTIONS_PICTURE = "sections.png"
"""The largest sections, drawn."""
