"""The only thing that may be forwarded: a message that the core has passed or changed.

The upstream client and the response writer take nothing else, and only this folder makes one.
"""

from __future__ import annotations

from typing import Final, NoReturn

from ..edits.stream_edits import Flow
from ..http.message import Head, Headers
from ..planning.plan import PlannedFlow

_MINT: Final = object()


class Forwardable:
    """A head, and what to send as its body.

    `body` is the bytes to send, or None where the body passes as it comes: unseen, or through
    `flow`, which changes it on its way and says when it may end. `changed` says whether these bytes
    differ from what arrived, so that length, validators and digests of the original must not be
    passed on. `media_type` is the new Content-Type of a changed body: a text, empty for none at
    all, or None to keep the old one. `decoded` says that the body has lost its content coding.
    `added_headers` are headers to add. `private` says that it is for its client alone, since
    something was opened for it: what the backend says to caches is not passed on, the added headers
    take its place.
    `ruled` says that responses of this route are read or changed, so that ranges,
    codings and strong validators must not be offered.
    """

    __slots__ = (
        "added_headers",
        "body",
        "changed",
        "decoded",
        "flow",
        "head",
        "media_type",
        "private",
        "ruled",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - private: one maker, below
        self,
        mint: object,
        head: Head,
        body: bytes | None,
        changed: bool,  # noqa: FBT001 - given by name, a class takes twice as long to make
        decoded: bool,  # noqa: FBT001 - as above
        ruled: bool,  # noqa: FBT001 - as above
        private: bool,  # noqa: FBT001 - as above
        media_type: str | None,
        added_headers: Headers,
        flow: Flow | PlannedFlow | None,
    ) -> None:
        """Refuse every caller but `mint`."""
        if mint is not _MINT:
            message = "only the rule engine makes a Forwardable"
            raise TypeError(message)
        self.head: Final = head
        self.body: Final = body
        self.changed: Final = changed
        self.decoded: Final = decoded
        self.ruled: Final = ruled
        self.private: Final = private
        self.media_type: Final = media_type
        self.added_headers: Final = added_headers
        self.flow: Final = flow

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be pickled or copied: a copy could be sent with another body."""
        message = "a Forwardable cannot be pickled or copied"
        raise TypeError(message)


def mint(  # noqa: PLR0913 - one argument for each slot
    head: Head,
    body: bytes | None = None,
    *,
    changed: bool = False,
    decoded: bool = False,
    ruled: bool = False,
    private: bool = False,
    media_type: str | None = None,
    added_headers: Headers = (),
    flow: Flow | PlannedFlow | None = None,
) -> Forwardable:
    """Make a Forwardable. For this folder alone: a test checks that no other module calls it."""
    return Forwardable(
        _MINT, head, body, changed, decoded, ruled, private, media_type, added_headers, flow
    )
