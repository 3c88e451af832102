"""The status page: static files without data, so they need no credentials.

The page requests its data with the token that its reader enters. It loads nothing from other
origins, runs only its own script, and cannot be framed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp.web_request import Request
from aiohttp.web_response import Response

from ..operation import Endpoint, Operation, Success

FILES: Final[Mapping[str, tuple[str, str]]] = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""Each path with its file in the folder `page` and its media type."""


# Not importlib.resources: it imports zipfile and tempfile, and these files lie beside this one.
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
    """Return the endpoints of the files, which need no credentials."""
    return [_endpoint(path, *file) for path, file in FILES.items()]


def _endpoint(path: str, name: str, content_type: str) -> Endpoint:
    body = (_FOLDER / name).read_bytes()

    async def answer(_: Request) -> Response:
        return Response(body=body, headers=_HEADERS, content_type=content_type, charset="utf-8")

    successes = (Success("The file.", {"type": "string"}, media_type=content_type),)
    operation = Operation(name, "GET", path, None, "A file of the status page.", successes)
    return Endpoint(operation, answer)
