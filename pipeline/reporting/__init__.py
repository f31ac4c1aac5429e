"""Reports: the page of each experiment, its figures and warnings, and the leaderboard."""
