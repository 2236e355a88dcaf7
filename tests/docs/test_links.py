"""Links within the repository lead somewhere; `make docs` looks at the built site, `make linkcheck` at the web."""

from pathlib import Path

import pytest
from tests.docs.pages import ROOT, all_pages, anchors, broken_links, links


@pytest.mark.parametrize("path", all_pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(path) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# A `b`, c!\n\n## Same\n\n## Same\n")
    text = "[a](b.md#a-b-c) [b](b.md#same-1) [c](https://x.y) [d](#here)\n\n| ![p](p.png) |\n| --- |\n| [e](b.md#no) |"
    (tmp_path / "a.md").write_text(f"{text}\n\n## Here\n")
    assert anchors(tmp_path / "b.md") == {"a-b-c", "same", "same-1"}
    assert links(tmp_path / "a.md") == ["b.md#a-b-c", "b.md#same-1", "https://x.y", "#here", "p.png", "b.md#no"]
    assert broken_links(tmp_path / "a.md") == ["p.png: there is no such file", "b.md#no: b.md has no such heading"]


def test_the_front_page_leads_to_every_guide() -> None:
    docs = ROOT / "docs"
    listed = {(docs / link).resolve() for link in links(docs / "index.md")}
    assert {docs / f"{name}.md" for name in ("guide", "extending", "design", "sweeps", "cluster", "wandb")} <= listed
    indexed = {(docs / "reference" / link).resolve() for link in links(docs / "reference" / "index.md")}
    assert set((docs / "reference").glob("*.md")) - indexed == {docs / "reference" / "index.md"}
