"""Where log records and warnings go: into a run's log.txt, never on the console."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

_CHATTY = ("pytorch_lightning", "lightning_fabric")  # with console handlers of their own


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    logging.getLogger("py.warnings").warning("%s", warnings.formatwarning(message, category, filename, lineno, line))


@contextmanager
def captured(place: Path | TextIO | None, level: int = logging.INFO) -> Iterator[None]:
    """Send all log records from a level on, and warnings, to a file or stream (None: nowhere) while the block runs."""
    handler: logging.Handler = logging.NullHandler()
    if isinstance(place, Path):
        handler = logging.FileHandler(place, encoding="utf-8")
    elif place is not None:
        handler = logging.StreamHandler(place)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, chatty = logging.getLogger(), [logging.getLogger(name) for name in _CHATTY]
    before = [(logger, logger.handlers, logger.propagate, logger.level) for logger in (root, *chatty)]
    root.handlers = [handler]
    root.setLevel(level)
    for logger in chatty:
        logger.handlers, logger.propagate = [], True
    try:
        with warnings.catch_warnings():  # puts showwarning back too
            warnings.showwarning = _log_warning
            yield
    finally:
        for logger, handlers, propagate, level in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
        handler.close()
