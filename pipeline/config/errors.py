"""The error that the command line shows without a traceback."""


class UserError(Exception):
    """An error that the user can fix. The command line prints its one line and exits with status 2."""
