"""Reads the project's Markdown pages: links, anchors, blocks of code."""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
_MARKDOWN = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Block:
    """A fenced block of code: the language that it says it has, and its lines."""

    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The commands of a block of them, continued lines joined."""
        if self.language not in ("", "bash"):
            return []
        lines = [line.strip() for line in self.text.replace("\\\n", " ").splitlines()]
        return [line for line in lines if line.startswith(("receptive ", "python "))]


def all_pages(root: Path = ROOT) -> list[Path]:
    """README, CONTRIBUTING and the pages below docs/."""
    return [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").rglob("*.md"))]


def _tokens(path: Path) -> list[Token]:
    return _MARKDOWN.parse(path.read_text(encoding="utf-8"))


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page in its order."""
    return [Block(token.info.strip(), token.content) for token in _tokens(path) if token.type == "fence"]


def links(path: Path) -> list[str]:
    """Targets of the links and pictures of a page."""
    inner = [child for token in _tokens(path) for child in token.children or ()]
    found = [child.attrGet("href") or child.attrGet("src") for child in inner if child.type in ("link_open", "image")]
    return [str(target) for target in found]


def anchors(path: Path) -> set[str]:
    """What a page's headings are called in links, as the repository's page and MyST name them."""
    tokens = _tokens(path)
    names: list[str] = []
    for before, token in itertools.pairwise(tokens):
        if before.type == "heading_open":
            text = "".join(child.content for child in token.children or ())
            slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
            same = sum(re.fullmatch(rf"{re.escape(slug)}(-\d+)?", name) is not None for name in names)
            names.append(f"{slug}-{same}" if same else slug)
    return set(names)


def broken_links(path: Path) -> list[str]:
    """Links of a page within the repository to files that are not there, or to anchors that they lack."""
    faults = []
    for link in links(path):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists():
            faults.append(f"{link}: there is no such file")
        elif anchor and anchor not in anchors(target):
            faults.append(f"{link}: {target.name} has no such heading")
    return faults
