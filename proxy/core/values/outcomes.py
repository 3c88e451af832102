"""What becomes of a value, and the texts that are told of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal

_OfValue = Literal[
    "sealed", "opened", "already_sealed", "plain", "kept", "in_markup", "cut", "searched"
]
_Withheld = Literal["masked", "token", "absent"]
_OfSearch = Literal["found", "filtered"]
Outcome = Literal[_OfValue, _Withheld, _OfSearch, "unsealed", "unlisted", "unread", "sentinel"]
"""What became of a value. `in_markup`: it opens, and stays sealed where markup cannot hold it.
Of what the caller does not get as it is: `masked`; `token`, it stays sealed; `absent`, it is left
out.
Of messages: `unsealed`, nothing was there to seal; `unlisted`, it holds what its rule does not
list, and mode `permissive` lets it pass; `unread`, a response that fits no block has tokens.
Of records: `sentinel`, it passed as a text that the block names.
Of elements of an answer to a search: `found`, it fits what was searched for; `filtered`, it does
not.
"""

Got = Mapping[tuple[str, Outcome], int]
"""How many values of a field a caller gets with which outcome."""
NOTHING_GOT: Final[Got] = MappingProxyType({})
"""Of a message whose rule does not tell callers apart."""

SHOWN: Final[frozenset[Outcome]] = frozenset({"opened", "masked"})
"""What tells something of a value."""
GOT: Final[frozenset[Outcome]] = SHOWN | {"token", "absent"}
"""What a client may get of a sealed value."""

NO_TOKEN: Final = "not-a-token"  # noqa: S105 - a reason
"""Why a value does not open that was never sealed: mode `permissive` lets it pass."""
TWIN: Final = "name-twin"
"""Why a token stays in a response: a name has a second reading there. Never why all is refused."""

Tally = Callable[[], Mapping[tuple[str, Outcome], int]]
"""Returns how many values of each field had which outcome; what is in no field has the name of its
kind. It is asked for after the fact, by whoever writes down what was opened."""

_STEPS: Final = 100


def no_tally() -> Mapping[tuple[str, Outcome], int]:
    """Return what is told where nothing was opened."""
    return {}


def expiry(now: float, expires: int) -> int:
    """Return when a value ends that is sealed `now` for `expires` seconds, in seconds since 1970.

    It is never earlier than said, and later by a hundredth of its life at most, or by a second.
    """
    step = max(1, expires // _STEPS)
    return -(-math.ceil(now + expires) // step) * step
