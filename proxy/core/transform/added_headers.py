"""Headers that a changed message gains: what a cache, a browser or a client must know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..compiled.block import CompiledBlock
from ..http.cache_control import for_its_client, forbids_recoding
from ..http.message import Headers, RequestHead, ResponseHead
from ..values.outcomes import Outcome

_NO_TRANSFORM = (b"Cache-Control", b"no-transform")
UNREAD: Headers = ((b"Sealyard-Unread", b"1"),)
"""What a response gains that passes unread with something sealed in it."""
_FOR_CALLER = (b"Cache-Control", b"private, no-store")
_NOSNIFF = (b"X-Content-Type-Options", b"nosniff")


def added_to_request(head: RequestHead, counts: Mapping[Outcome, int]) -> Headers:
    """Return what a request gains: no intermediary may transform what Sealyard sealed."""
    if "sealed" in counts and not forbids_recoding(head.facts):
        return (_NO_TRANSFORM,)
    return ()


def added_to_response(
    head: ResponseHead,
    counts: Mapping[Outcome, int],
    varies: tuple[bytes, ...],
    *,
    opaque: bool,
    for_caller: bool = False,
) -> Headers:
    """Return what a response gains; `opaque` says that its body was sealed as a whole.

    `for_caller` says that others get something else: no cache keeps it.

    The Cache-Control of what was opened is instead of the backend's, which `mint` keeps back where
    the message is `private`.
    """
    added: Headers = vary(head, varies) if varies else ()
    if opaque and b"x-content-type-options" not in head.facts:
        added = (_NOSNIFF, *added)
    if for_caller:
        added = (_FOR_CALLER, *added)
    elif "opened" in counts:
        said = for_its_client(head.facts, as_it_is="sealed" in counts)
        added = ((b"Cache-Control", said), *added)
    elif "sealed" in counts and not forbids_recoding(head.facts):
        added = (_NO_TRANSFORM, *added)
    if plain := counts.get("plain"):
        added = ((b"Sealyard-Plain", b"%d" % plain), *added)
    if kept := counts.get("kept", 0) + counts.get("in_markup", 0):
        added = ((b"Sealyard-Kept", b"%d" % kept), *added)
    return added


def added_to_unread(
    head: ResponseHead, varies: tuple[bytes, ...], *, unread: bool, for_caller: bool
) -> Headers:
    """Return what a response gains that no block reads; it may be `unread` though sealed."""
    told = UNREAD if unread else ()
    return (*told, _FOR_CALLER, *vary(head, varies)) if for_caller else told


def added_to_bodiless(
    head: ResponseHead, varies: tuple[bytes, ...], *, opens: bool, for_caller: bool
) -> Headers:
    """Return what a response without a body gains; `opens` says that one with it may be opened.

    Caches take its headers for those of the body that they hold, or may come to hold.
    """
    added = vary(head, varies)
    if for_caller:
        return (_FOR_CALLER, *added)
    if opens and b"cache-control" in head.facts:
        return ((b"Cache-Control", for_its_client(head.facts, as_it_is=False)), *added)
    return added


def vary(head: ResponseHead, names: tuple[bytes, ...]) -> Headers:
    """Return the Vary that is missing: `names` are request headers that the response depends on."""
    if not names:
        return ()
    said = head.facts.words(b"vary")
    missing = [name for name in names if name.lower() not in said]
    return ((b"Vary", b", ".join(missing)),) if missing and b"*" not in said else ()


def expected_outcomes(blocks: Sequence[CompiledBlock]) -> dict[Outcome, int]:
    """Return the outcomes that a streamed message is labelled with, before any value is known."""
    counts: dict[Outcome, int] = {}
    if any(one.block.seals for one in blocks):
        counts["sealed"] = 1
    if any(one.block.decrypt for one in blocks):
        counts["opened"] = 1
    return counts
