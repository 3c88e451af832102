"""Headers of a response that point somewhere: Location, Content-Location, Link and Refresh.

A backend that builds them from its own address would send the client past Sealyard.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_ABSOLUTE: Final = re.compile(rb"(?:(https?):)?//([^/?#]*)", re.IGNORECASE)
_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}

# RFC 8288 section 3. A target is between < and >, outside of quoted strings; an anchor is quoted.
_IN_LINK: Final = re.compile(
    rb'(?P<before>;[ \t]*+anchor[ \t]*+=[ \t]*+"|<)(?P<target>[^<>"\\]*+)(?=[">])'
    rb'|"(?:[^"\\]|\\.)*+(?:"|\\?\Z)',
    re.IGNORECASE | re.DOTALL,
)
# HTML, section 4.2.5.3: seconds, then the URL, which may have a name and quotes.
_REFRESH: Final = re.compile(
    rb"(?P<before>[ \t]*+[0-9.]++[ \t]*+[;,]?[ \t]*+(?:url[ \t]*+=[ \t]*+)?)"
    rb"(?P<quote>['\"]?)(?P<target>[^'\"]*+)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class LocationRewrite:
    """Rewrites what points at the upstream's own authorities to the address the client used.

    `own` are authorities in lower case, without the default port of their scheme or with it.
    `client` is the scheme and authority that the client used.
    """

    own: frozenset[bytes] = frozenset()
    client: bytes = b""

    def of_header(self, name: bytes, value: bytes) -> bytes:
        """Return the value of a header, its name in lower case, as the client must see it."""
        rewrite = _REWRITES.get(name)
        if rewrite is None or b"//" not in value or not self.client.partition(b"//")[2]:
            return value
        return rewrite(self, value)

    def _of_location(self, location: bytes) -> bytes:
        match = _ABSOLUTE.match(location)
        if match is None:
            return location
        scheme, authority = (match[1] or b"").lower(), match[2].lower()
        short = authority.removesuffix(_DEFAULT_PORTS.get(scheme, b"//"))
        if self.own.isdisjoint((authority, short)):
            return location
        return self.client + location[match.end() :]

    def _of_link(self, links: bytes) -> bytes:
        return _IN_LINK.sub(self._target, links)

    def _target(self, match: re.Match[bytes]) -> bytes:
        if match["before"] is None:
            return match[0]
        return match["before"] + self._of_location(match["target"])

    def _of_refresh(self, refresh: bytes) -> bytes:
        match = _REFRESH.match(refresh)
        if match is None:
            return refresh
        start, end = match.span("target")
        return refresh[:start] + self._of_location(match["target"]) + refresh[end:]


_REWRITES: Final[dict[bytes, Callable[[LocationRewrite, bytes], bytes]]] = {
    b"content-location": LocationRewrite._of_location,  # noqa: SLF001 - its own table
    b"link": LocationRewrite._of_link,  # noqa: SLF001 - its own table
    b"location": LocationRewrite._of_location,  # noqa: SLF001 - its own table
    b"refresh": LocationRewrite._of_refresh,  # noqa: SLF001 - its own table
}

POINTING: Final = frozenset(_REWRITES)
"""The names of the headers that are rewritten, in lower case."""
NO_REWRITE: Final = LocationRewrite()
"""Every header stays."""
