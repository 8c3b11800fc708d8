"""What a page shows, read as a browser reads it."""

from html.parser import HTMLParser

VOID = {"meta", "img", "source", "br"}


class Page(HTMLParser):
    """The elements and the text of a page; fails where tags do not close."""

    def __init__(self, source):
        super().__init__()
        self.elements, self.text, self._open = [], "", []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("style", "title"):
            self.text += data

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def require_accessible(self):
        """Pictures have texts, cells of heads a scope, tables a caption; nothing is fetched or run."""
        assert all(len(attributes["alt"]) > 20 for attributes in self.named("img"))
        assert all("scope" in attributes for attributes in self.named("th"))
        assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in self.elements}
        sources = [attributes.get("src") or attributes.get("srcset") for _, attributes in self.elements]
        assert all(source.startswith("data:image/") for source in sources if source is not None)
