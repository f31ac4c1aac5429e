"""Train one fold."""
