"""The status page: a few files without any data, so that they need no token.

What the page shows it asks for with the token that its reader types in. It takes nothing from
elsewhere, runs nothing but its own file, and is shown in no frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp import web

from ..operation import Answered, Endpoint, Operation

FILES: Final[Mapping[str, tuple[str, str]]] = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""Each path with its file in the folder `page`, and its type."""

MOST_BYTES: Final = 60 * 1024
"""All of the page together; a test holds it to that."""

# Not importlib.resources: it brings archives and temporary files along, for what lies beside this.
_FOLDER: Final = Path(__file__).parents[1] / "page"
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def page() -> list[Endpoint]:
    """Return the files of the page, each open to all."""
    return [_endpoint(path, *file) for path, file in FILES.items()]


def _endpoint(path: str, name: str, content_type: str) -> Endpoint:
    body = (_FOLDER / name).read_bytes()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, headers=_HEADERS, content_type=content_type, charset="utf-8")

    answers = (Answered("The file.", {"type": "string"}, media_type=content_type),)
    told = Operation(name, "GET", path, None, "A file of the status page.", answers)
    return Endpoint(told, answer)
