"""Tiles from a local archive: Kaggle's zip, or a folder that has the same files, zipped or unpacked.

The competition ships nested zips in one of two arrangements
(https://www.kaggle.com/competitions/tgs-salt-identification-challenge/data): ``train.csv``, ``depths.csv``,
``sample_submission.csv``, ``train.zip`` and ``test.zip`` side by side, or all of that under ``competition_data``,
zipped or as a folder. Files are found by their names in any folder: a zip counts as a folder of the same name, and the
first folder that has every part is used. Other files are ignored. The names are those of ``pipeline.data.files``.

An archive may be hostile: its paths, sizes and links are checked.
"""

from pipeline.data.sources.archive.identity import fingerprint, quick_identity
from pipeline.data.sources.archive.unpacking import unpack

__all__ = ["fingerprint", "quick_identity", "unpack"]
