"""Check a built site: every link, picture, style and script within it leads to a file, every fragment to an element.

    python scripts/check_site.py build/docs      # what `make docs` does after building

Sphinx checks what it resolves itself; this looks at the pages as a browser would get them. Links to other hosts are
counted and left alone: `make linkcheck` asks them.
"""

from __future__ import annotations

import functools
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_REFERENCES = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src"}


class Page(HTMLParser):
    """What a page refers to, and the names that can be referred to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag's reference and names."""
        values = dict(attrs)
        if reference := values.get(_REFERENCES.get(tag, "")):
            self.references.append(reference)
        self.names |= {str(values[key]) for key in ("id", "name") if values.get(key)}


@functools.cache
def read(path: Path) -> Page:
    """A page of the site."""
    return Page(path.read_text(encoding="utf-8"))


def faults(site: Path) -> tuple[list[str], int]:
    """What is broken, a line each, and the number of references within the site that were followed."""
    found, followed = [], 0
    for path in sorted(site.rglob("*.html")):
        for reference in read(path).references:
            parts = urlsplit(reference)
            if parts.scheme or parts.netloc:
                continue
            followed += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            where = path.relative_to(site)
            if not target.is_file():
                found.append(f"{where}: {reference}: there is no such file")
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in read(target).names:
                found.append(f"{where}: {reference}: there is no such place")
    return found, followed


def main(site: Path) -> None:
    """Print what is broken, and leave with code 1 if anything is."""
    found, followed = faults(site)
    print("\n".join([*found, f"{site}: {followed} references within the site, {len(found)} broken"]))
    if found or not followed:
        sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
