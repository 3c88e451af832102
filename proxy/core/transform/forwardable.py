"""The only thing that may be forwarded: a message that the core has passed or changed.

The upstream client and the response writer take nothing else, and only this folder makes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final, NoReturn

from ..compiled.flat_json import Kept
from ..http.message import Head, Headers
from ..planning.plan import PlannedFlow
from ..values.key_needs import NO_KEYS, Keys
from ..values.outcomes import NOTHING_GOT, Got, Outcome
from ..values.streams import Flow

_MINT: Final = object()


class Frame:
    """All of a message but its body.

    Messages of one head and outcome share it, so heads made of it can be kept.

    `changed` says whether the bytes of the body differ from what arrived, so that length,
    validators and digests of the original must not be passed on. `media_type` is the new
    Content-Type of a changed body: a text, empty for none at all, or None to keep the old one.
    `decoded` says that the body has lost its content coding. `added_headers` are headers to add.
    `private` says that it is for its client alone, since something was opened for it: what the
    backend says to caches is not passed on, the added headers take its place. `ruled` says that
    responses of this route are read or changed, so that ranges, codings and strong validators must
    not be offered. `for_caller` says that they depend on who asks: no conditions go upstream, and
    no validators come down.
    """

    __slots__ = (
        "added_headers",
        "changed",
        "decoded",
        "for_caller",
        "head",
        "media_type",
        "private",
        "ruled",
    )

    def __init__(  # noqa: PLR0913 - one argument for each slot
        self,
        head: Head,
        *,
        changed: bool = False,
        decoded: bool = False,
        ruled: bool = False,
        private: bool = False,
        for_caller: bool = False,
        media_type: str | None = None,
        added_headers: Headers = (),
    ) -> None:
        """Take what is known of a message."""
        self.head: Final = head
        self.changed: Final = changed
        self.decoded: Final = decoded
        self.ruled: Final = ruled
        self.private: Final = private or for_caller
        self.for_caller: Final = for_caller
        self.media_type: Final = media_type
        self.added_headers: Final = added_headers


class Forwardable:
    """A head, and what to send as its body.

    `body` is the bytes to send, or None where the body passes as it comes: unseen, or through
    `flow`, which changes it on its way and says when it may end. `frame` is all the rest.
    """

    __slots__ = ("body", "flow", "frame")

    def __init__(
        self, mint: object, frame: Frame, body: bytes | None, flow: Flow | PlannedFlow | None
    ) -> None:
        """Refuse every caller but those of this folder."""
        if mint is not _MINT:
            message = "only the rule engine makes a Forwardable"
            raise TypeError(message)
        self.frame = frame
        self.body = body
        self.flow = flow

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be pickled or copied: a copy could be sent with another body."""
        message = "a Forwardable cannot be pickled or copied"
        raise TypeError(message)

    @property
    def head(self) -> Head:
        """The head, with its values changed."""
        return self.frame.head


class Changed(Forwardable):
    """A message changed at once: how many values had which outcome, and the names it leaves.

    `kept` are the names of a request's body that its response needs, in the order of the rule;
    `keys` those that it was changed with, `shown` is as of `CarriedOut`.
    """

    __slots__ = ("counts", "kept", "keys", "shown")

    def __init__(  # noqa: PLR0913, PLR0917 - one argument for each slot
        self,
        mint: object,
        frame: Frame,
        body: bytes | None,
        counts: Mapping[Outcome, int],
        kept: Kept = (),
        keys: Keys = NO_KEYS,
        shown: Got = NOTHING_GOT,
    ) -> None:
        """Refuse every caller but those of this folder."""
        if mint is not _MINT:  # as in Forwardable: a call for each message takes as long again
            message = "only the rule engine makes a Forwardable"
            raise TypeError(message)
        self.frame = frame
        self.body = body
        self.flow = None
        self.counts = counts
        self.kept = kept
        self.keys = keys
        self.shown = shown


def mint(  # noqa: PLR0913 - one argument for each slot
    head: Head,
    body: bytes | None = None,
    *,
    changed: bool = False,
    decoded: bool = False,
    ruled: bool = False,
    private: bool = False,
    for_caller: bool = False,
    media_type: str | None = None,
    added_headers: Headers = (),
    flow: Flow | PlannedFlow | None = None,
) -> Forwardable:
    """Make a Forwardable. For this folder alone: a test checks that no other module calls it."""
    frame = Frame(
        head,
        changed=changed,
        decoded=decoded,
        ruled=ruled,
        private=private,
        for_caller=for_caller,
        media_type=media_type,
        added_headers=added_headers,
    )
    return Forwardable(_MINT, frame, body, flow)


mint_changed = partial(Changed, _MINT)
"""Makes a message that is changed at once. For this folder alone, as `mint`."""
