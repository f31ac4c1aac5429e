"""Kaggle through its own client: the competition's archive, uploads, and past submissions with their scores.

Every error becomes one line that says what to do. What the client prints (help, warnings, addresses with signatures) is
not shown.
"""

from pipeline.data.sources.kaggle.client import NoCredentialsError, UnreachableError
from pipeline.data.sources.kaggle.competition import COMPETITION, PAGE, TOKENS
from pipeline.data.sources.kaggle.downloads import download
from pipeline.data.sources.kaggle.submissions import Submission, past_submissions, upload

__all__ = [
    "COMPETITION",
    "PAGE",
    "TOKENS",
    "NoCredentialsError",
    "Submission",
    "UnreachableError",
    "download",
    "past_submissions",
    "upload",
]
