"""Every request that changes something at a backend, as far as the backend says what it takes.

Where it declares its routes, they are read from the installed software. Where it does not, they are
listed here, from its documentation. Parameters have a value that stands nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from re import _constants, _parser  # type: ignore[attr-defined] # neither has a public name
from typing import Any, Final

from .compared import NODE, NODE_FOLDER, printed
from .conftest import ROOT, Client, kinto

Route = tuple[str, str]
"""A method and a path."""

WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
SAMPLE: Final = "x1y2"
HERE: Final = Path(__file__).parent
_PARAMETER: Final = re.compile(r"\(\.\*\)|:\w+(?:\(\*\))?\??|\*\w*|\{\w+\}|<[^>]+>")


def sampled(routes: Iterable[Iterable[str]], before: str = "", **known: str) -> set[Route]:
    """Return the writes among routes whose parameters are written `:id`, `{id}`, `<id>` or `*`.

    Of a parameter that is `known`, a second route has the value that the example has rules for.
    """
    found = set[Route]()
    for method, path in routes:
        for values in {}, known:
            text = _PARAMETER.sub(lambda one: values.get(one[0].strip(":{}<>*()?"), SAMPLE), path)  # noqa: B023 - called at once
            found.add((method.upper(), before + text))
    return {one for one in found if one[0] in WRITES}


def isso(_: Path) -> set[Route]:
    """Return the routes of Isso."""
    python = str(ROOT / ".venv-isso" / "bin" / "python")
    return sampled(printed([python, "-P", str(HERE / "declared_routes.py")], "isso"))


def synapse(_: Path) -> set[Route]:
    """Return the routes of Synapse, one for each alias."""
    python = str(ROOT / ".venv-synapse" / "bin" / "python")
    found = printed([python, "-P", str(HERE / "declared_routes.py")], "synapse")
    return {
        (method, path)
        for method, pattern in found
        if method in WRITES
        for path in _matching(_parser.parse(pattern))
    }


def _matching(parsed: Any) -> Iterator[str]:  # noqa: ANN401 - the type has no name
    """Yield texts that a regular expression matches: one for each of its alternatives."""
    texts = [""]
    for kind, value in parsed:
        pieces = list(_pieces(kind, value))
        texts = [text + piece for text in texts for piece in pieces]
    yield from texts


def _pieces(kind: Any, value: Any) -> Iterator[str]:  # noqa: ANN401 - as above
    if kind is _constants.LITERAL:
        yield chr(value)
    elif kind is _constants.AT:
        yield ""
    elif kind is _constants.SUBPATTERN:
        yield from _matching(value[-1])
    elif kind is _constants.BRANCH:
        for one in value[1]:
            yield from _matching(one)
    elif kind in {_constants.MAX_REPEAT, _constants.MIN_REPEAT}:
        least, most, repeated = value
        once = [_constants.IN, _constants.NOT_LITERAL, _constants.ANY]
        if most == 1 and least == 0:
            yield ""
        yield from [SAMPLE] if repeated[0][0] in once else _matching(repeated)
    else:
        yield "1"


def of_kinto(folder: Path) -> set[Route]:
    """Return the routes of Kinto, from its OpenAPI."""
    with kinto(folder) as running:
        paths = Client(running.port).ask("GET", "/v1/__api__").json["paths"]
    told = [(method, path) for path, operations in paths.items() for method in operations]
    return sampled(told, "/v1", bucket_id="clinic", collection_id="messages")


def of_node(kind: str, before: str, **known: str) -> Callable[[Path], set[Route]]:
    """Return what returns the routes of a server of Express."""

    def routes(folder: Path) -> set[Route]:
        command = [NODE, str(NODE_FOLDER / "routes.mjs")]
        return sampled(printed(command, kind, folder=folder), before, **known)

    return routes


def openai(_: Path) -> set[Route]:
    """Return what the client for Python can ask of a server."""
    call = re.compile(r'self\._(post|put|patch|delete)\(\s*(?:path_template\(|f)?"(/[^"]+)"')
    (resources,) = (ROOT / ".venv-openai").glob("lib/python*/site-packages/openai/resources")
    sources = (one.read_text("utf-8") for one in resources.rglob("*.py"))
    return sampled((found for text in sources for found in call.findall(text)), "/v1")


def listed(text: str) -> Callable[[Path], set[Route]]:
    """Return what returns routes that are written `METHOD,METHOD PATH`, one a line."""
    lines = [line.split() for line in text.strip().splitlines()]
    routes = {(method, path) for methods, path in lines for method in methods.split(",")}
    return lambda _: routes
