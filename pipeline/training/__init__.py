"""Train the network of one fold."""
