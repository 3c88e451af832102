"""Compares where Sealyard opens tokens in HTML with what a parser of the HTML standard reads there.

Run in the environment of isso, which has html5lib: `python against_html5lib.py SEED SNIPPETS`.
It prints what differs; nothing else is printed where nothing does, but the numbers.
"""

from __future__ import annotations

import importlib
import random  # noqa: TID251 - snippets to try, the same for a seed
import re
import sys
from collections.abc import Iterator
from typing import Any

from proxy.core.formats.markup import Spelling, escaped, spellings

_HTML5LIB: Any = importlib.import_module("html5lib")  # it has no types, and is not ours

TOKEN = b"eyJQZQ..x"
OPEN = (
    *("p", "div class='a'", "script", "script x", "style", "textarea", "title", "TITLE", "svg"),
    *("math", "desc", "foreignObject", "mi", "mtext", "noscript", "iframe", "xmp", "noembed"),
    *("select", "option", "table", "caption", "tr", "td", "col", "template", "plaintext", "br/"),
    *("svg/", "style/", "title/", "annotation-xml", "frameset", "button", "form", "li", "h1"),
    *("head", "body", "html", "!doctype html"),
)
PIECES = (
    *(b"<" + name.encode() + b">" for name in OPEN),
    *(b"</" + name.split()[0].encode() + b">" for name in OPEN),
    *(b"<!--", b"-->", b"--!>", b"<!-->", b"<!--->", b"<![CDATA[", b"]]>", b"<?php ", b"?>", b"</"),
    *(b'<a title="', b"<a title='", b"<input value=", b'<img alt="', b'<p onclick="', b"<a href="),
    *(b'"', b"'", b">", b"/>", b"<", b" ", b"\n", b"=", b"x", b"&lt;", b"</script x>"),
)
VALUE = "<\"'>&<!--</script></style></title></textarea><img src=x onerror=1> a=b"
OF_TEXT = {"title", "alt", "value", "placeholder"}
NO_TEXT = {"script", "style", "iframe", "xmp", "noembed", "noframes", "noscript", "plaintext"}


def main(seed: int, snippets: int) -> None:
    chosen = random.Random(seed)  # noqa: S311 - the same each time
    opened = wrong = 0
    for _ in range(snippets):
        text = snippet(chosen)
        page, marks = page_of(text)
        opened += len(marks)
        for scripting in (False, True) if marks else ():
            for mark in wrongly_read(page, marks, scripting=scripting):
                wrong += 1
                sys.stdout.write(f"{mark} in {text!r}, scripting {scripting}\n")
    sys.stdout.write(f"{snippets} snippets, {opened} tokens opened, {wrong} read as no text\n")


def snippet(chosen: random.Random) -> bytes:
    parts = [chosen.choice(PIECES) for _ in range(chosen.randrange(1, 12))]
    for _ in range(chosen.randrange(1, 3)):
        parts.insert(chosen.randrange(len(parts) + 1), TOKEN)
    return b"".join(parts)


def page_of(text: bytes) -> tuple[str, list[str]]:
    """Return the text with each token opened that Sealyard would open, and a mark for each."""
    found = [one.span() for one in re.finditer(re.escape(TOKEN), text)]
    pieces, marks, at = [], [], 0
    for number, (place, spelling) in enumerate(
        zip(found, spellings(text, found, "html"), strict=True)
    ):
        pieces.append(text[at : place[0]].decode())
        written = TOKEN.decode()
        if spelling != "closed":
            marks.append(f"QM{number}Q")
            written = f"{marks[-1]}{_escaped(spelling)}"
        pieces.append(written)
        at = place[1]
    return "".join((*pieces, text[at:].decode())), marks


def _escaped(spelling: Spelling) -> str:
    written = escaped(VALUE, spelling)
    assert written is not None
    return written


def wrongly_read(page: str, marks: list[str], *, scripting: bool) -> Iterator[str]:
    """Yield the marks that a parser finds where no text is, in a page and in a fragment."""
    for parse in ("parse", "parseFragment"):
        try:
            tree = getattr(_HTML5LIB.HTMLParser(), parse)(page, scripting=scripting)
        except AssertionError:  # its own, at the end of some pages with framesets
            continue
        for mark in marks:
            found = places(tree, mark, ())
            if not all(_is_text(kind, names, scripting=scripting) for kind, names in found):
                yield mark


def places(element: Any, mark: str, above: tuple[str, ...]) -> Iterator[tuple[str, set[str]]]:  # noqa: ANN401 - of a tree without types
    """Yield as what a mark is read, and within which elements."""
    is_comment = not isinstance(element.tag, str)
    name = "" if is_comment else element.tag.rsplit("}", 1)[-1].lower()
    path = (*above, name)
    if mark in name:
        yield "tag", set(path)
    if mark in (element.text or ""):
        yield "comment" if is_comment else "text", set(path)
    for key, value in element.attrib.items():
        if mark in str(key):
            yield "name", set(path)
        if mark in value:
            yield f"@{key}".lower(), set(path)
    for child in element:
        yield from places(child, mark, path)
        if mark in (child.tail or ""):
            yield "text", set(path)


def _is_text(kind: str, names: set[str], *, scripting: bool) -> bool:
    if not scripting:
        names.discard("noscript")  # its content is read as any other's
    # A comment holds it safely: nothing that is escaped ends one.
    return kind == "comment" or (kind == "text" and not names & NO_TEXT) or kind[1:] in OF_TEXT


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
