"""The CSV, and what was uploaded."""
