"""A pipeline for the TGS Salt Identification Challenge: from Kaggle's archive to a checked submission."""

__version__ = "0.1.0"
