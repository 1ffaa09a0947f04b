"""Errors that need no traceback."""

from __future__ import annotations


class ExplainedError(Exception):
    """An error whose message says what is wrong, where, and what is allowed or to be done.

    Commands print the message alone and exit with 1.
    """
