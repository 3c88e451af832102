"""Headers by which frameworks take a request for one to another address.

IIS and ASP.NET, Symfony and Laminas heed `X-Original-URL` and `X-Rewrite-URL`, and others are
heeded elsewhere. A proxy before Sealyard may set one to the address that it was asked for, which is
the request's own; any other is a way around the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from .errors import AmbiguousRequest, SealyardError
from .path import CanonicalPath, canonical
from .rulebook import Rulebook

REROUTING: Final = frozenset(
    {
        b"x-forwarded-path",
        b"x-forwarded-uri",
        b"x-forwarded-url",
        b"x-http-destinationurl",
        b"x-http-path-override",
        b"x-original-uri",
        b"x-original-url",
        b"x-override-url",
        b"x-proxy-url",
        b"x-rewrite-url",
    }
)

_ADDRESS: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//[^/?#]*", re.IGNORECASE)


def refuse_rerouting(
    rulebook: Rulebook, path: CanonicalPath, query: str | None, values: Iterable[bytes]
) -> None:
    """Raise AmbiguousRequest where one of these headers names another address, and a rule minds.

    It does where it takes requests to one of the two paths; where the other is none that can be
    told, it may be any.
    """
    for value in values:
        there, _, asked = _ADDRESS.sub("", value.decode("latin-1").strip(), count=1).partition("?")
        try:
            other = canonical(there if there.startswith("/") else f"/{there}")
        except SealyardError:
            raise AmbiguousRequest("rerouting-header") from None
        if other.text == path.text and asked == (query or ""):
            continue
        if rulebook.rules_path(path) or rulebook.rules_path(other):
            raise AmbiguousRequest("rerouting-header")
