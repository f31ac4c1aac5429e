"""The submission: masks of the test tiles, the CSV, its receipt, and the records of uploads."""
