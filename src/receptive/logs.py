"""Where log records and warnings go: into a run's log.txt, never on the console."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
def captured(path: Path | None) -> Iterator[None]:
    """Send all log records from INFO on, and warnings, to a file (None: nowhere) while the block runs."""
    handler = logging.FileHandler(path, encoding="utf-8") if path else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, chatty = logging.getLogger(), [logging.getLogger(name) for name in _CHATTY]
    before = [(logger, logger.handlers, logger.propagate, logger.level) for logger in (root, *chatty)]
    root.handlers = [handler]
    root.setLevel(logging.INFO)
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
