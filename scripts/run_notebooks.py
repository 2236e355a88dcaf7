"""Run the notebooks of docs/notebooks and keep their outputs, each in an empty folder of its own.

    python scripts/run_notebooks.py        # from the checkout; a minute each

Without times: run twice on one machine, a notebook stays as it is.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parent.parent / "docs" / "notebooks"
SECONDS = 600  # of one cell


def executed(path: Path, folder: Path) -> Any:
    """A notebook with the outputs that it gives in a folder; raises CellExecutionError where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    kept = dict(notebook.metadata)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=resources, record_timing=False).execute()
    notebook.metadata = nbformat.from_dict(kept)  # the kernel adds the version of its Python
    return notebook


if __name__ == "__main__":
    for found in sorted(NOTEBOOKS.glob("*.ipynb")):
        with TemporaryDirectory() as scratch:
            nbformat.write(executed(found, Path(scratch)), found)
        print(found.name)
