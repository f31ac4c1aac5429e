"""Names of the files that hold the tiles: as downloaded, and as arrays and tables."""

RAW_FILES = ("train.csv", "depths.csv", "sample_submission.csv")
RAW_FOLDERS = ("train/images", "train/masks", "test/images")
SOLUTION = "solution.csv"
"""The known test answers, which only the built-in survey has."""
TILE_FILES = ("train_images.npy", "train_masks.npy", "test_images.npy", "train.csv", "test.csv")
FOLDS = "folds.csv"
"""The fold of each labelled tile."""
