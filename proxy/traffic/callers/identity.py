"""Names of certificates, and the patterns that they are compared with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ...core.errors import CallerUnverified
from ..policy import XFCC_BYTES

Names = Mapping[str, frozenset[str]]
"""The names of a certificate: its `subject`, and the `dns` and `uri` names beside it."""


class CertificatePattern:
    """Which certificates fit: by a subject, a DNS name, or a URI in which `*` crosses no `/`."""

    __slots__ = ("_kind", "_matches")

    def __init__(self, identity: tuple[str, str]) -> None:
        """Take a kind, and the name or pattern."""
        kind, value = identity
        self._kind: Final = kind
        pattern = re.escape(value.lower() if kind == "dns" else value)
        if kind == "uri":
            pattern = pattern.replace(r"\*", "[^/]+")
        self._matches: Final = re.compile(pattern).fullmatch

    def found(self, names: Names) -> str | None:
        """Return the name that fits, None where none does.

        Of several URIs none is an identity (SPIFFE X509-SVID, section 2).
        """
        known = names[self._kind]
        if self._kind == "uri" and len(known) != 1:
            return None
        return next((one for one in sorted(known) if self._matches(one)), None)


_PAIR: Final = re.compile(
    r'([A-Za-z]{1,16})=("(?:[^"\\\x00-\x1f\x7f]|\\["\\])*"|[^",;=\\\x00-\x20\x7f]*)'
    r"(, *|;|\Z)"
)
_ESCAPE: Final = re.compile(r"\\(.)")
_ONCE: Final = frozenset({"hash", "subject", "cert", "chain"})


def elements(value: bytes) -> list[dict[str, frozenset[str]]]:
    """Return the elements of `X-Forwarded-Client-Cert`, each its values by key in lower case.

    https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers

    Raises CallerUnverified for what has a second reading: a quote that stands alone, a key without
    a value, `Subject` twice.
    """
    if len(value) > XFCC_BYTES:
        raise CallerUnverified("xfcc-too-long")
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError:
        raise CallerUnverified("malformed-xfcc") from None
    found: list[dict[str, set[str]]] = [{}]
    at = 0
    while (pair := _PAIR.match(text, at)) is not None:
        _add(found[-1], pair[1].lower(), pair[2])
        if not pair[3]:
            return [{key: frozenset(values) for key, values in one.items()} for one in found]
        if pair[3].startswith(","):
            found.append({})
        at = pair.end()
    raise CallerUnverified("malformed-xfcc")


def _add(element: dict[str, set[str]], key: str, given: str) -> None:
    if given.startswith('"'):
        given = _ESCAPE.sub(r"\1", given[1:-1])
    known = element.setdefault(key, set())
    if known and key in _ONCE:
        raise CallerUnverified("malformed-xfcc")
    known.add(given.lower() if key == "dns" else given)


def names_of(element: Mapping[str, frozenset[str]]) -> Names:
    """Return the names in an element, as those of a certificate."""
    return {kind: element.get(kind, frozenset()) for kind in ("subject", "dns", "uri")}
