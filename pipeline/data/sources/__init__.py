"""Where tiles come from: Kaggle, a local archive, or the built-in survey."""
