# SPDX-License-Identifier: Apache-2.0
"""Markdown pages as data: where their links lead, what can be linked to, and by which numbers their parts are cited.

Pure: takes text, reads no files.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

_FENCED: Final = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_SPAN: Final = re.compile(r"`[^`\n]*`")
_LINK: Final = re.compile(r"\]\(\s*<?([^)>\s]+)|^\[[^\]\n]+\]:\s+(\S+)|\b(?:src|href)=\"([^\"]+)\"", re.MULTILINE)

_HEADING: Final = re.compile(r"#+ +(?P<title>.+)")
_NUMBERED: Final = re.compile(r"\(?(?P<number>\d+(?:\.\d+)*|[a-z](?=\)))[.)]? ")
_ITEM: Final = re.compile(r"(?P<number>\d+)\. ")
_ROW: Final = re.compile(r"\| (?P<number>\d+\.\d+) \|")

#: A citation breaks across lines: what begins the next line of a comment is no part of it.
_LINE_BREAK: Final = re.compile(r"\s*\n[ \t]*(?:#:?|//|\*(?=\s))?[ \t]*")
_NUMBER: Final = r"(?<![\w.])(?:\d+(?:\.\d+)*|[a-z])(?!\w|-[a-z])"


def links(text: str) -> list[str]:
    """The targets of all links, as they stand; code holds none."""
    bare = _SPAN.sub("", _FENCED.sub("", text))
    return [next(filter(None, match.groups())) for match in _LINK.finditer(bare)]


def _titles(text: str) -> Iterator[str]:
    for line in _FENCED.sub("", text).splitlines():
        if heading := _HEADING.fullmatch(line):
            yield heading["title"].strip()


def anchors(text: str) -> set[str]:
    """The names by which a link may point into the page, made from its headings as GitHub makes them."""
    found: set[str] = set()
    for title in _titles(text):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        # The second of two equal headings is name-1.
        found.add(
            name if name not in found else next(f"{name}-{n}" for n in range(1, 99) if f"{name}-{n}" not in found)
        )
    return found


def sections(text: str) -> set[str]:
    """The numbers and letters by which parts of the page are cited.

    Those of headings (``9.4``, ``b``), those of list items behind the number of their section (``7.5``, or ``81`` on a
    page that numbers nothing else), and those that begin a row of a table (``4.1``).
    """
    found: set[str] = set()
    current = ""
    for line in _FENCED.sub("", text).splitlines():
        if heading := _HEADING.fullmatch(line):
            numbered = _NUMBERED.match(heading["title"])
            current = numbered["number"] if numbered else ""
            found.add(current)
        elif item := _ITEM.match(line):
            found.add(f"{current}.{item['number']}" if current else item["number"])
        elif row := _ROW.match(line):
            found.add(row["number"])
    return found - {""}


@dataclass(frozen=True, slots=True)
class Citation:
    """``page``, without its suffix, is cited by ``number``."""

    page: str
    number: str

    def __str__(self) -> str:
        return f"{self.page}.md, {self.number}"


def citations(text: str, pages: Iterable[str]) -> list[Citation]:
    """What ``text`` cites of ``pages``: "rspro.md, 9.4", "known-limits 3, 27", "line 45 of known-limits.md"."""
    named_here = [page for page in pages if page in text]
    flat = _LINE_BREAK.sub(" ", text) if named_here else ""
    found: list[Citation] = []
    for page in named_here:
        # A name of one word is also that of a program: "pcscd 1.9.9".
        suffix = r"(?:\.md)?" if "-" in page else r"\.md"
        cited = re.compile(
            rf"\b{re.escape(page)}{suffix}[`)]*,? (?:(?:end of|sections?|lines?) )*"
            rf"({_NUMBER}(?:(?:, (?:and )?| and | to |-){_NUMBER})*)"
        )
        named = re.compile(rf"\b[Ll]ines? ({_NUMBER}(?:(?:, | and ){_NUMBER})*) of `*{re.escape(page)}\.md")
        for match in [*cited.finditer(flat), *named.finditer(flat)]:
            found += [Citation(page, number) for number in re.findall(_NUMBER, match[1])]
    return found
