"""Headers that a changed message gains: what a cache, a browser or a client must know of it."""

from __future__ import annotations

from collections.abc import Mapping

from .edits import Fate
from .message import Headers, RequestHead, ResponseHead

_NO_TRANSFORM = (b"Cache-Control", b"no-transform")
_NO_STORE = (b"Cache-Control", b"no-store")
_FOR_NO_OTHER = frozenset({b"no-store", b"private"})
_NOSNIFF = (b"X-Content-Type-Options", b"nosniff")


def request_marks(head: RequestHead, counts: Mapping[Fate, int]) -> Headers:
    """Return what a request gains: nobody behind Sealyard may recode what it sealed."""
    if "sealed" in counts and b"no-transform" not in head.told.directives:
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
    if "sealed" in counts and b"no-transform" not in head.told.directives:
        marks = (_NO_TRANSFORM, *marks)
    if "opened" in counts and head.told.directives.isdisjoint(_FOR_NO_OTHER):
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
    said = head.told.words(b"vary")
    missing = [name for name in names if name.lower() not in said]
    return ((b"Vary", b", ".join(missing)),) if missing and b"*" not in said else ()
