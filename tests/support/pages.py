"""Pages as a browser and a careful reader see them."""

import re
from html.parser import HTMLParser

VOID = {"meta", "br"}


class PageReading(HTMLParser):
    """Reads a page as a browser does: its elements, its text by element, and whether all of them are closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def check_page(page: str) -> PageReading:
    """Check that a page needs nothing from elsewhere, runs nothing, and suits light and dark; return it as read."""
    read = PageReading(page)
    assert read.open == []
    assert not {"script", "link", "img", "iframe", "object", "use", "a"} & {tag for tag, _ in read.elements}
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", page)
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]
    policy = next(meta["content"] for meta in read.named("meta") if "http-equiv" in meta)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert "@media (prefers-color-scheme: dark)" in page
    assert {"name": "color-scheme", "content": "light dark"} in read.named("meta")
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    rest = re.sub(r":root \{[^}]*\}", "", style[1])
    # Every colour is one that the dark screen has another of.
    assert not re.search(r"#[0-9a-f]{3,6}\b", rest)
    assert all(cell.get("scope") in {"col", "row"} for cell in read.named("th"))
    assert ("html", {"lang": "en"}) in read.elements
    assert read.texts["caption"]
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    return read
