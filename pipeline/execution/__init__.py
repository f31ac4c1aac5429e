"""Where folds run: in this process, in several, on a cluster, or at Kaggle."""
