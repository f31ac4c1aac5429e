"""The competition's name and pages at Kaggle."""

COMPETITION = "tgs-salt-identification-challenge"
PAGE = f"https://www.kaggle.com/competitions/{COMPETITION}"
TOKENS = "https://www.kaggle.com/settings"
"""Where a user makes an access token."""
