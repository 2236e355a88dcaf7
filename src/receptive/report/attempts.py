"""What a report can do without: it is tried, and told where it does not work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# What odd values in the files of runs can raise. Names and attributes that there are not are faults of the code, and
# are raised as such; so are warnings that a test makes errors.
_FAULTS = (ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError)


@contextmanager
def trying(what: str, notes: list[str]) -> Iterator[None]:
    """Go on without `what` where it cannot be made, with a note."""
    try:
        yield
    except _FAULTS as error:
        words = " ".join(str(error).split())[:300]
        notes.append(f"{what}: left out, {type(error).__name__}: {words}")
