"""Headers that a changed message gains: what a cache, a browser or a client must know of it."""

from __future__ import annotations

from collections.abc import Mapping

from .edits import Fate
from .message import Headers, RequestHead, ResponseHead, header_values

_NO_TRANSFORM = (b"Cache-Control", b"no-transform")
_NO_STORE = (b"Cache-Control", b"no-store")
_NOSNIFF = (b"X-Content-Type-Options", b"nosniff")


def request_marks(head: RequestHead, counts: Mapping[Fate, int]) -> Headers:
    """Return what a request gains: nobody behind Sealyard may recode what it sealed."""
    if counts.get("sealed") and b"no-transform" not in _directives(head.headers):
        return (_NO_TRANSFORM,)
    return ()


def response_marks(
    head: ResponseHead,
    counts: Mapping[Fate, int],
    varies: tuple[bytes, ...],
    *,
    opaque: bool,
) -> Headers:
    """Return what a response gains; `opaque` says that its body was sealed as a whole.

    What was opened here the backend holds sealed, on purpose; no cache on the way may hold it open.
    A backend that says `private` has decided for the client's own cache, and that stands.
    """
    marks = [
        (name, str(count).encode())
        for name, count in (
            (b"Sealyard-Kept", counts.get("kept", 0)),
            (b"Sealyard-Plain", counts.get("plain", 0)),
        )
        if count
    ]
    if counts.get("opened") and not _directives(head.headers) & {b"no-store", b"private"}:
        marks.append(_NO_STORE)
    if counts.get("sealed") and b"no-transform" not in _directives(head.headers):
        marks.append(_NO_TRANSFORM)
    if opaque and not header_values(head.headers, b"x-content-type-options"):
        marks.append(_NOSNIFF)
    return (*marks, *vary(head, varies))


def vary(head: ResponseHead, names: tuple[bytes, ...]) -> Headers:
    """Return the Vary that is missing: `names` are request headers that the response depends on."""
    if not names:
        return ()
    said = _words(head.headers, b"vary")
    missing = [name for name in names if name.lower() not in said]
    return ((b"Vary", b", ".join(missing)),) if missing and b"*" not in said else ()


def _directives(headers: Headers) -> set[bytes]:
    return {one.partition(b"=")[0] for one in _words(headers, b"cache-control")}


def _words(headers: Headers, name: bytes) -> set[bytes]:
    return {
        one.strip(b" \t").lower()
        for value in header_values(headers, name)
        for one in value.split(b",")
    }
