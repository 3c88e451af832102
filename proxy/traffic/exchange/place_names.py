"""Places in requests as a log may spell them: names that the configuration has, hashes of others.

A client can put values into names. So what follows the last known name of a path is only told apart
from other places, by a hash under a key of the keyring. It is the same in every process that has
that keyring, and nobody without it can try out names.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence

from ..policy import PLACE_HASH_CHARS, PLACE_STEPS


class PlaceNames:
    """Spells the places of one listener; `known` are the names in its rules."""

    __slots__ = ("_key", "_known")

    def __init__(self, known: frozenset[str], key: bytes) -> None:
        self._known = known
        self._key = key

    def spelled(self, path: Sequence[str | int], *, in_query: bool = False) -> str:
        """Return a path as `$.payment.*#3f9a1c`: its known beginning, and a hash of the rest."""
        made = "?" if in_query else "$"
        for at, step in enumerate(path):
            if isinstance(step, int):
                made += "[*]"
            elif step in self._known and at < PLACE_STEPS:
                made += step if in_query else f".{step}"
            else:
                rest = ["*" if isinstance(one, int) else one for one in path[at:]]
                return f"{made}{'' if in_query else '.'}*#{self._hash(rest)}"
        return made

    def _hash(self, rest: Sequence[str]) -> str:
        text = json.dumps(rest).encode()
        return hmac.digest(self._key, text, "sha256").hex()[:PLACE_HASH_CHARS]
