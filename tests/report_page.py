"""A report as a reader meets it: sections with their tables, facts, terms and figures."""

import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input", "source"}


def numbers_in(text):
    """Numbers in a text, as they are written, without commas between digits."""
    return re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?%?", re.sub(r"(?<=\d),(?=\d)", "", text))


class Node:
    """An element with its attributes, the elements within it and its text."""

    def __init__(self, tag, attrs=()):
        self.tag, self.attrs, self.children = tag, dict(attrs), []

    def all(self, *tags, **attrs):
        """Elements within this one of these tags and attributes, in order."""
        found = []
        for child in self.children:
            if isinstance(child, Node):
                is_one = not tags or child.tag in tags
                if is_one and all(child.attrs.get(k.rstrip("_")) == v for k, v in attrs.items()):
                    found.append(child)
                found += child.all(*tags, **attrs)
        return found

    def one(self, *tags, **attrs):
        (found,) = self.all(*tags, **attrs)
        return found

    @property
    def words(self):
        """Visible text, with single spaces."""
        return " ".join(" ".join(self._texts()).split())

    def _texts(self):
        for child in self.children:
            if isinstance(child, str):
                yield child
            elif child.tag not in ("script", "style", "title"):
                yield from child._texts()

    @property
    def numbers(self):
        """Every number in the visible text, as it is written, without commas between digits."""
        return numbers_in(self.words)

    @property
    def tables(self):
        """Header and rows of every table, as lists of texts."""
        return [Table.of(node) for node in self.all("table")]

    @property
    def facts(self):
        """The facts of a run by name: the value, and the remark where there is one."""
        return self._list("facts")

    @property
    def terms(self):
        """Meaning of every word that is explained, as a list of one text."""
        return self._list("words")

    def _list(self, kind):
        found = {}
        for node in self.one("dl", class_=kind).all("dt", "dd"):
            if node.tag == "dt":
                name = node.words
                found[name] = []
            else:
                found[name].append(node.words)
        return found

    @property
    def notes(self):
        """What stands in place of a figure or table that there is none of."""
        return [node.words for node in self.all("p", class_="note")]

    @property
    def figures(self):
        """Figures by their id, without its prefix."""
        found = [Figure.of(node) for node in self.all("figure")]
        return {figure.name: figure for figure in found}


@dataclass
class Table:
    header: list
    rows: list

    @classmethod
    def of(cls, node):
        lines = [[cell.words for cell in row.all("th", "td")] for row in node.all("tr")]
        return cls(lines[0], lines[1:])

    def column(self, name):
        return [row[self.header.index(name)] for row in self.rows]

    def row(self, *begin):
        """The row that begins with these cells."""
        (found,) = [row for row in self.rows if row[: len(begin)] == list(begin)]
        return found[len(begin) :]


@dataclass
class Figure:
    name: str
    label: str
    caption: Node
    data: list
    layout: dict

    @classmethod
    def of(cls, node):
        plot = json.loads("".join(node.one("script", class_="plot-data").children))
        label = node.one("div", class_="plot").attrs["aria-label"]
        name = node.attrs["id"].removeprefix("figure-")
        return cls(name, label, node.one("figcaption"), plot["data"], plot["layout"])


class _Builder(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open = [Node("")]

    def handle_starttag(self, tag, attrs):
        node = Node(tag, attrs)
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag

    def handle_data(self, data):
        self.open[-1].children.append(data)


class Page(Node):
    """What a browser would see of a page whose elements are all closed in order."""

    def __init__(self, html):
        builder = _Builder()
        builder.feed(html)
        builder.close()
        (root,) = builder.open
        super().__init__("")
        self.children = root.children

    @property
    def elements(self):
        return self.all()

    def section(self, name):
        return self.one("section", id=name)

    @property
    def sections(self):
        return [node.attrs["id"] for node in self.all("section")]

    def outside_resources(self):
        """Addresses that a browser would fetch to show the page."""
        fetching = ("src", "srcset", "poster", "data", "background", "xlink:href")
        found = [n.attrs[k] for n in self.all() for k in fetching if n.attrs.get(k)]
        found += [n.attrs["href"] for n in self.all("link", "base", "use")]
        return [address for address in found if not address.startswith(("data:", "#"))]
