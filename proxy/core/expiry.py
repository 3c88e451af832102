"""When a sealed value ends.

The head of a token says it, and heads are kept from one message to the next. So ends lie on steps,
each a hundredth of the life: a head serves for as long as all that is sealed ends at one step.
"""

from __future__ import annotations

import math
from typing import Final

_STEPS: Final = 100


def expiry(now: float, expires: int) -> int:
    """Return when a value ends that is sealed `now` for `expires` seconds, in seconds since 1970.

    It is never earlier than said, and later by a hundredth of its life at most, or by a second.
    """
    step = max(1, expires // _STEPS)
    return -(-math.ceil(now + expires) // step) * step
