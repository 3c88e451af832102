"""Making a find smaller: whatever can be left out while the same still goes wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from .case import Case

Wrong = Callable[[Case], Awaitable[bool]]
"""Whether a case still does what must not happen."""
_TRIES: Final = 220


async def minimise(case: Case, wrong: Wrong) -> Case:
    """Return a smaller case that is still wrong; the same one if none is found."""
    left = _TRIES
    again = True
    while again and left > 0:
        again = False
        for smaller in _smaller(case):
            left -= 1
            if left <= 0:
                break
            if await wrong(smaller):
                case, again = smaller, True
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    """Yield what a case is without one of its pieces, large pieces first."""
    for at, (name, _) in enumerate(case.headers):
        if name.lower() != "host":
            yield case.smaller(headers=case.headers[:at] + case.headers[at + 1 :])
    for at in range(len(case.codings)):
        yield case.smaller(codings=case.codings[:at] + case.codings[at + 1 :])
    path, mark, query = case.target.partition("?")
    pieces = query.split("&") if mark else []
    for at in range(len(pieces)):
        rest = "&".join(pieces[:at] + pieces[at + 1 :])
        yield case.smaller(target=f"{path}?{rest}" if rest else path)
    size = len(case.body)
    while size > 1:
        size = (size + 1) // 2
        for at in range(0, len(case.body), size):
            yield case.smaller(body=case.body[:at] + case.body[at + size :])
