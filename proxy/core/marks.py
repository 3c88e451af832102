"""Headers that a changed message gains: what a cache, a browser or a client must know of it."""

from __future__ import annotations

from collections.abc import Mapping

from .edits import Fate
from .message import Headers, RequestHead, ResponseHead, Told

_NO_TRANSFORM = (b"Cache-Control", b"no-transform")
_NO_STORE = (b"Cache-Control", b"no-store")
_NONE = frozenset[bytes]()
_NOSNIFF = (b"X-Content-Type-Options", b"nosniff")


def request_marks(head: RequestHead, counts: Mapping[Fate, int]) -> Headers:
    """Return what a request gains: nobody behind Sealyard may recode what it sealed."""
    if "sealed" in counts and b"no-transform" not in _directives(head.told):
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
    marks: Headers = vary(head, varies) if varies else ()
    if opaque and b"x-content-type-options" not in head.told:
        marks = (_NOSNIFF, *marks)
    if "sealed" in counts and b"no-transform" not in _directives(head.told):
        marks = (_NO_TRANSFORM, *marks)
    if "opened" in counts and not _directives(head.told) & {b"no-store", b"private"}:
        marks = (_NO_STORE, *marks)
    if "plain" in counts:
        marks = ((b"Sealyard-Plain", b"%d" % counts["plain"]), *marks)
    if "kept" in counts:
        marks = ((b"Sealyard-Kept", b"%d" % counts["kept"]), *marks)
    return marks


def vary(head: ResponseHead, names: tuple[bytes, ...]) -> Headers:
    """Return the Vary that is missing: `names` are request headers that the response depends on."""
    if not names:
        return ()
    said = _words(head.told, b"vary")
    missing = [name for name in names if name.lower() not in said]
    return ((b"Vary", b", ".join(missing)),) if missing and b"*" not in said else ()


def _directives(told: Told) -> set[bytes] | frozenset[bytes]:
    if b"cache-control" not in told:
        return _NONE
    return {one.partition(b"=")[0] for one in _words(told, b"cache-control")}


def _words(told: Told, name: bytes) -> set[bytes]:
    values = told.get(name, ())
    return {one.strip(b" \t").lower() for value in values for one in value.split(b",")}
