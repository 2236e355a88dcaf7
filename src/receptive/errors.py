"""The errors that are told in their own words, without a traceback."""

from __future__ import annotations


class InputError(Exception):
    """A fault of the user's input; the text names the key or file and the remedy."""


class NonFiniteLoss(RuntimeError):
    """The training loss became NaN or infinite."""
