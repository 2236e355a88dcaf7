"""Sphinx: how the pages become a site (`make docs`). They are plain Markdown and read on the repository's page too.

Sphinx's source folder is the checkout, so that README.md and CONTRIBUTING.md are pages as well and every relative link
means the same here and there. There is no toctree in the pages: an index.md is a list of links, and what it links to
stands in the site's navigation.
"""

from __future__ import annotations

import posixpath
import re
from importlib.metadata import version as installed_version
from pathlib import Path

from sphinx.application import Sphinx

project = "Receptive"
author = "The Receptive authors"
release = installed_version("receptive")

extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/**", "results/**"]
# Not walked through: they are large.
exclude_patterns = [".*", "build", "conf", "data", "dist", "outputs", "scripts", "src", "tests"]
suppress_warnings = ["toc.not_included"]  # tables among the results are reached from the pages that speak of them
myst_heading_anchors = 4  # as the repository's page makes them
nitpicky = True

html_theme = "furo"
html_title = "Receptive"
html_static_path = ["_static"]
html_extra_path = ["_extra"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
highlight_language = "none"  # but where a block names its own
pygments_style = "friendly"
pygments_dark_style = "monokai"

linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_anchors = False  # of other hosts: often made by scripts

LINK = r"\[([^\]]+)\]\(([\w./-]+)\.md\)"  # text, page


def add_navigation(app: Sphinx, name: str, source: list[str]) -> None:
    """Give an index.md a hidden toctree for each of its sections; the front page's last has what no index links to."""
    if not name.endswith("/index"):
        return
    for number, section in enumerate(re.split(r"^## ", source[0], flags=re.MULTILINE)):
        entries = [f"{text.replace('`', '')} <{page}>" for text, page in re.findall(LINK, section)]
        add_toctree(source, section.partition("\n")[0] if number else "", entries)
    if name == root_doc:
        linked = {page for index in app.env.found_docs if index.endswith("/index") for page in links_of(app, index)}
        others = {page for page in app.env.found_docs - linked - {name} if page.startswith("docs/")}
        add_toctree(source, "More", [f"/{page}" for page in sorted(others)])


def add_toctree(source: list[str], caption: str, entries: list[str]) -> None:
    """Append a hidden toctree, each entry once."""
    if entries:
        options = f":hidden:\n:caption: {caption}\n" if caption else ":hidden:\n"
        listed = "\n".join(dict.fromkeys(entries))
        source[0] += f"\n\n```{{toctree}}\n{options}\n{listed}\n```\n"


def links_of(app: Sphinx, index: str) -> set[str]:
    """The pages that an index.md links to, as Sphinx names them."""
    text = (Path(app.srcdir) / f"{index}.md").read_text(encoding="utf-8")
    return {posixpath.normpath(posixpath.join(posixpath.dirname(index), name)) for _, name in re.findall(LINK, text)}


def setup(app: Sphinx) -> None:
    """Connect the navigation."""
    app.connect("source-read", add_navigation)
