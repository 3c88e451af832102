"""What came of a head, for the next message with the same: there is no need to find it out again.

A precedent belongs to one connection, so nothing of it outlives its client or its upstream.
"""

from __future__ import annotations

from typing import Any


class Precedent:
    """What was found out about one head, and the lines in which it was passed on.

    `verdict` is what `owner` found: another owner, as a reload brings it, has not found anything.
    `lines` hold for messages with the same `terms`, which are all that they were made of beside the
    head. Whoever uses one of them has seen that owner or terms are the same.
    """

    __slots__ = ("lines", "owner", "terms", "verdict")

    def __init__(self) -> None:
        self.owner: object = None
        self.verdict: Any = None
        self.terms: object = None
        self.lines = b""
