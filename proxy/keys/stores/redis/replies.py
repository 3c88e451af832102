"""Reading what Redis answers: each command has answers of one shape, all others are a failed store.

Any client may have written what Redis holds, and whatever comes over the wire may
be an older answer, or that of a server which is no Redis. So nothing of it is unpacked, decoded or
compared before its shape is known. Only this module looks into answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from ...policy import MOST_REPLICAS
from ..store import ClockRefused, Fenced, FoundRecords, HeldRecords, Misshapen, Stale
from .connection import Answer
from .scripts import CLOCK_REFUSED, FENCE_REFUSED

_SLOTS: Final = 16_384
_HIGHEST_PORT: Final = 65_535
_HIGHEST_CURSOR: Final = (1 << 64) - 1
_FOREVER: Final = 1 << 53
"""More milliseconds than any record is kept for; what is above is read as this."""

_T = TypeVar("_T")


def of_script(answer: Answer, mark: bytes, read: Callable[[Answer], _T]) -> tuple[float, _T]:
    """Return Redis' time, in milliseconds since 1970, and what a script called with `mark` says.

    Raises Stale for the answer to another call, Misshapen for any other shape.
    """
    # Lua ends a list before a nil at its end.
    said, clock, *value = many(answer, least=2, most=3)
    if text(said) != mark:
        raise Stale
    return time_ms(clock), read(value[0] if value else None)


def text(answer: Answer) -> bytes:
    """Return an answer that is bytes; raise Misshapen for any other."""
    if type(answer) is not bytes:
        raise Misshapen
    return answer


def whole(answer: Answer, low: int, high: int) -> int:
    """Return a number within bounds, which may come as a text; raise Misshapen for any other."""
    if type(answer) is bytes and answer.isdigit() and len(answer) <= len(str(high)):
        answer = int(answer)
    if type(answer) is not int or not low <= answer <= high:
        raise Misshapen
    return answer


def many(answer: Answer, *, least: int = 0, most: int | None = None) -> list[Answer]:
    """Return a list of so many answers; raise Misshapen for what is none, or longer or shorter."""
    if not isinstance(answer, list) or len(answer) < least:
        raise Misshapen
    if most is not None and len(answer) > most:
        raise Misshapen
    return answer


def record(answer: Answer) -> bytes | None:
    """Return the record under a key; None for none."""
    return None if answer is None else text(answer)


def present(answer: Answer) -> bytes:
    """Return the record under a key that cannot be empty now."""
    return text(answer)


def held(answer: Answer) -> HeldRecords:
    """Return the record and the revocation; raise ClockRefused where the clock was wrong.

    Raises Fenced where another fence stands than the one that was given.
    """
    if answer == [b"", 0, None, CLOCK_REFUSED]:
        raise ClockRefused
    _require_no_fence(answer)
    value, left, revocation = many(answer, least=3, most=3)
    return HeldRecords(present(value), _left(left, low=1), record(revocation))


def found(answer: Answer, keys: int, *, current: bool = False, fence: bool = False) -> FoundRecords:
    """Return the revocation, as many keys as were asked for, and last fence and session if so."""
    number = 1 + keys + fence + current
    revocation, *values = many(answer, least=number, most=number)
    stand = [_key(one) for one in values]
    now = stand.pop() if current else None
    stands = stand.pop() if fence else None
    said, fenced = (None if one is None else one.record for one in (now, stands))
    return FoundRecords(record(revocation), tuple(stand), said, fenced)


def revoked(answer: Answer) -> bytes:
    """Return the stored revocation; raise ClockRefused for a time in the future."""
    if answer == [CLOCK_REFUSED]:
        raise ClockRefused
    return present(answer)


def on_disk(answer: Answer) -> bool:
    """Return whether WAITAOF says that the disk of the server has what was written."""
    here, _ = (whole(one, 0, MOST_REPLICAS) for one in many(answer, least=2, most=2))
    return here > 0


def erased(answer: Answer, keys: int) -> tuple[list[str], list[bytes]]:
    """Return the key ids that are left, and what was destroyed of as many keys as were named.

    Raises Fenced where another fence stands than the one seen.
    """
    _require_no_fence(answer)
    rest, *gone = many(answer, least=1 + keys, most=1 + keys)
    return listed(text(rest)), [record(one) or b"" for one in gone]


def listed(ids: bytes) -> list[str]:
    """Return the key ids of a list; raise Misshapen for one that is none."""
    words = ids.decode("ascii", "replace").split()
    if len(words) % 2:
        raise Misshapen
    return words[::2]


def _require_no_fence(answer: Answer) -> None:
    if isinstance(answer, list) and answer[:4] == [b"", 0, None, FENCE_REFUSED]:
        (fence,) = many(answer[4:], least=1, most=1)
        raise Fenced(record(fence))


def scanned(answer: Answer, before: bytes) -> tuple[int, list[bytes]]:
    """Return the next cursor and names that begin with `before` (SCAN)."""
    cursor, names = many(answer, least=2, most=2)
    found = [text(one) for one in many(names)]
    if not all(one.startswith(before) for one in found):
        raise Misshapen
    return whole(cursor, 0, _HIGHEST_CURSOR), found


def notice(answer: Answer, channel: bytes) -> tuple[bytes, str]:
    """Return the kind of what a subscriber hears, and of a `message` what it says."""
    kind, *more = many(answer, least=2, most=3)
    if kind == b"pong":
        return kind, ""
    if kind not in {b"subscribe", b"message"} or len(more) != len(("channel", "value")):
        raise Misshapen
    if text(more[0]) != channel:
        raise Misshapen
    return kind, text(more[1]).decode("ascii") if kind == b"message" else ""


def slots(answer: Answer) -> Iterator[tuple[int, int, bytes, int]]:
    """Yield the first and last slot of each range, and host and port of its master (CLUSTER SLOTS).

    The host is empty where a node does not know its own name.
    """
    for one in many(answer):
        first, last, node, *_ = many(one, least=3)
        host, port, *_ = many(node, least=2)
        begins = whole(first, 0, _SLOTS - 1)
        ends = whole(last, begins, _SLOTS - 1)
        yield begins, ends, b"" if host is None else text(host), whole(port, 1, _HIGHEST_PORT)


def address(answer: Answer) -> tuple[bytes, int] | None:
    """Return host and port of a master as a Sentinel reports them; None where it knows none."""
    if answer is None:
        return None
    host, port = many(answer, least=2, most=2)
    return text(host), whole(port, 1, _HIGHEST_PORT)


def role(answer: Answer) -> bytes:
    """Return the role that a Redis reports (ROLE)."""
    return text(many(answer, least=1)[0])


def time_ms(answer: Answer) -> float:
    """Return a Redis' time in milliseconds since 1970 (TIME)."""
    seconds, microseconds = many(answer, least=2, most=2)
    return whole(seconds, 0, _FOREVER) * 1000 + whole(microseconds, 0, 999_999) / 1000


def members(answer: Answer) -> dict[bytes, Answer]:
    """Return a list of names and values as a map (HELLO, CONFIG GET)."""
    pairs = many(answer)
    if len(pairs) % 2:
        raise Misshapen
    return dict(zip(map(text, pairs[::2]), pairs[1::2], strict=True))


def _key(answer: Answer) -> HeldRecords | None:
    if answer is None:
        return None
    value, left = many(answer, least=2, most=2)
    left = _left(left, low=-2)
    return HeldRecords(present(value), left) if left > 0 else None


def _left(answer: Answer, *, low: int) -> int:
    """Return how many milliseconds something is kept; below 1 it is not, or has no end (PTTL)."""
    if type(answer) is not int or answer < low:
        raise Misshapen
    return min(answer, _FOREVER)
