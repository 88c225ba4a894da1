"""Errors that a user can act on: one line that names the file, key or row and what to do."""


class UserError(Exception):
    """Wrong use: a bad argument, configuration or input file. The process exits with 2."""

    exit_code = 2


class RunFailure(UserError):
    """Right use that could not be carried out: a dead worker, a full disk. Exits with 1."""

    exit_code = 1
