"""Sphinx: how docs/ becomes a site (`make docs`). The pages are plain Markdown, which reads on the repository's page too.

There is no toctree in them: an index.md is a list of links, and what it links to stands in the site's navigation.
"""

import re
from importlib.metadata import version as installed_version
from pathlib import Path

from sphinx.application import Sphinx

project = "Receptive"
author = "The Receptive authors"
release = installed_version("receptive")

extensions = ["myst_parser"]
exclude_patterns = ["figures/**"]
myst_heading_anchors = 4  # as the repository's page makes them
nitpicky = True

html_theme = "furo"
html_title = "Receptive"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

# Whether a network is needed to check them: `make linkcheck`.
linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_anchors = False


def add_navigation(app: Sphinx, name: str, source: list[str]) -> None:
    """Give an index.md a hidden toctree for each of its sections; the first also gets what no index links to."""
    if Path(name).name != "index":
        return
    sections = re.split(r"^## ", source[0], flags=re.MULTILINE)
    for number, section in enumerate(sections):
        caption = section.partition("\n")[0] if number else ""
        add_toctree(source, caption, re.findall(r"\]\(([\w/-]+)\.md\)", section))
    if name == "index":
        linked = {found for index in Path(app.srcdir).rglob("index.md") for found in links_of(Path(app.srcdir), index)}
        add_toctree(source, "More", sorted(app.env.found_docs - linked - {"index"}))


def add_toctree(source: list[str], caption: str, names: list[str]) -> None:
    """Append a hidden toctree of pages, each once."""
    if names:
        listed = "\n".join(dict.fromkeys(names))
        source[0] += f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{listed}\n```\n"


def links_of(root: Path, index: Path) -> set[str]:
    """The pages that an index.md links to, as Sphinx names them."""
    found = re.findall(r"\]\(([\w/-]+)\.md\)", index.read_text(encoding="utf-8"))
    return {(index.parent / name).relative_to(root).as_posix() for name in found}


def setup(app: Sphinx) -> None:
    """Connect the navigation."""
    app.connect("source-read", add_navigation)
