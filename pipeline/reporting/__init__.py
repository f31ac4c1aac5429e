"""Figures, pages and the leaderboard."""
