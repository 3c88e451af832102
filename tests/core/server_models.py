"""What servers make of a path, each written from its documentation: pure functions, lax settings.

Each takes the path as it is forwarded and yields the paths for whose handler the server may take
it: what it would have been asked with the plain spelling. Case is folded by all of them, which asks
more than most do.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import unquote

Model = Callable[[str], Iterator[str]]


def _without_dots(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    return "/" + "/".join(kept)


def rails(path: str) -> Iterator[str]:
    """Routes end in `(.:format)`; slashes are squeezed, the last one is taken off (Journey)."""
    path = re.sub(r"/{2,}", "/", unquote(path)).rstrip("/") or "/"
    yield path
    yield re.sub(r"(?<=[^/])\.[^/.?]+$", "", path)


def spring(path: str) -> Iterator[str]:
    """Spring MVC 4: matrix parameters off, decoded, any suffix, a trailing slash."""
    path = unquote(re.sub(r";[^/]*", "", path)).removesuffix("/") or "/"
    yield path
    head, _, last = path.rpartition("/")
    for dot in re.finditer(r"(?!^)\.", last):
        yield f"{head}/{last[: dot.start()]}"


def tomcat(path: str) -> Iterator[str]:
    """Path parameters off before anything is decoded; `..;` climbs; a backslash may be a slash."""
    for backslash in ("\\", "/"):
        text = unquote(re.sub(r";[^/]*", "", path)).replace("\\", backslash)
        yield _without_dots(re.sub(r"/{2,}", "/", text))


def nginx(path: str) -> Iterator[str]:
    """Decoded once, `%2F` and `%3F` as well, then dots; slashes merged before them or not."""
    text = unquote(path)
    yield _without_dots(re.sub(r"/{2,}", "/", text))
    yield re.sub(r"/{2,}", "/", _without_dots(text))


def twice(path: str) -> Iterator[str]:
    """A proxy that decodes, before a server that decodes again."""
    for inner in nginx(path):
        yield from nginx(inner)


def php(path: str) -> Iterator[str]:
    """A script has what stands behind it as PATH_INFO; a front controller routes by that."""
    for text in nginx(path):
        yield text
        yield re.sub(r"(?i)/index(?:\.[a-z0-9]+)?/?$", "", text) or "/"
        for script in re.finditer(r"(?i)/[a-z0-9_-]+\.(?:php[0-9]?|phtml|phar)(?=/|$)", text):
            yield text[: script.end()]
            if behind := text[script.end() :].rstrip("/"):
                yield text[: script.start()] + behind
                yield behind
        yield re.sub(r"(?i)/(?:index|app_dev)\.php[0-9]?/?$", "", text) or "/"


def multiviews(path: str) -> Iterator[str]:
    """Apache's negotiation finds `/pay.php` for `/pay`; both may have PATH_INFO."""
    for text in php(path):
        yield text
        for cut in re.finditer("/", text[1:]):
            yield text[: cut.start() + 1] + ".php"
        yield text + ".php"
        yield text.rstrip("/") + "/index.php"


def iis(path: str) -> Iterator[str]:
    """ASP.NET: backslashes, blanks and dots at the end, streams, cookieless sessions, actions."""
    text = unquote(path).replace("\\", "/")
    text = re.sub(r"/\((?:[A-Za-z]\([^/()]*\))+\)(?=/|$)", "", text)
    text = re.sub(r":[^/:]*:\$[A-Za-z_]+(?=/|$)", "", text)
    text = _without_dots(re.sub(r"/{2,}", "/", text))
    text = "/" + "/".join(one.rstrip(" .") for one in text.split("/")[1:])
    yield text
    yield re.sub(r"(?i)/index$", "", text) or "/"
    yield re.sub(r"(?i)/(?:index|default)\.[a-z]+$", "", text) or "/"


def wide(path: str) -> Iterator[str]:
    """A server, or what it asks, that folds compatibility forms."""
    yield from nginx(unicodedata.normalize("NFKC", unquote(path)))


def truncating(path: str) -> Iterator[str]:
    """What ends at a `?` or `#` once decoded: a URL parsed again."""
    for text in nginx(re.split(r"[?#]", unquote(path))[0]):
        yield text
    for text in nginx(re.split(r"[?#]", path)[0]):
        yield re.split(r"[?#]", text)[0]


def slashless(path: str) -> Iterator[str]:
    """Express, Django, Flask: a trailing slash is none, or leads to the path without it."""
    text = unquote(path)
    yield text.rstrip("/") or "/"
    yield text.rstrip("/") + "/"


MODELS: Final[dict[str, Model]] = {
    one.__name__: one
    for one in (
        *(rails, spring, tomcat, nginx, twice, php, multiviews),
        *(iis, wide, truncating, slashless),
    )
}
