"""Headers that rules or servers read: twice, joined, taken away, or naming another target."""

from __future__ import annotations

import random  # noqa: TID251 - a run shall be repeatable, and nothing here is secret
from collections.abc import Callable, Mapping
from typing import Final

from ..case import MINE, VICTIM
from ..draft import Draft


def _own(draft: Draft) -> str | None:
    return draft.route.conversation if draft.route.source == "header" else None


def _twice(draft: Draft, rng: random.Random) -> bool:
    """A header source twice, as a list, empty, or with something around its value."""
    name = _own(draft)
    if name is None:
        return False
    ways = (
        "{},{m}",
        "{m},{}",
        "{}, ",
        ",{}",
        '"{}"',
        "{};x",
        "{}\t",
        "",
        "{}{}",
        "{m}",
        "({m}){}",
        "{}\xa0",
        "{}\x85",
    )
    text = rng.choice(ways).replace("{m}", MINE).replace("{}", VICTIM)
    if rng.random() < 0.5:
        draft.headers.insert(rng.randrange(1, len(draft.headers) + 1), (name, text))
    else:
        draft.set_header(name, text)
    return True


def _connection(draft: Draft, rng: random.Random) -> bool:
    """A header that the next hop is told to forget, or that is of a single hop."""
    names = (
        "content-type",
        "cookie",
        "content-encoding",
        "host",
        "x-http-method-override",
        "content-length",
    )
    name = _own(draft) or rng.choice(names)
    told = rng.choice((name, name.upper(), f"close, {name}", f"{name},keep-alive", f" ,{name}"))
    header = rng.choice(
        (
            "Connection",
            "Connection",
            "connection",
            "Proxy-Connection",
            "Keep-Alive",
            "TE",
            "Trailer",
        )
    )
    draft.headers.append((header, told))
    if rng.random() < 0.5 and _own(draft):
        # The one that stays is in another spelling.
        spelling = rng.choice((name.replace("-", "_"), name.replace("-", "."), name.title()))
        draft.headers.append((spelling, MINE))
    return True


def _folded(draft: Draft, rng: random.Random) -> bool:
    """A header whose value goes on in a next line, or one that does not end where it seems to."""
    name = _own(draft) or rng.choice(("Content-Type", "Cookie", "X-Note"))
    old = draft.header(name.lower()) or "x"
    joint = rng.choice(("\r\n ", "\r\n\t", "\n", "\r", "\n ", "\x0b", "\0"))
    behind = rng.choice((MINE, f"{name}: {MINE}", f"{name}:{MINE}", "x"))
    draft.set_header(name, f"{old}{joint}{behind}")
    return True


def _target(draft: Draft, rng: random.Random) -> bool:
    """A header by which some servers take another path, host or user."""
    names = (
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Forwarded-Path",
        "X-Forwarded-Prefix",
        "X-Original-URI",
        "X-Forwarded-Host",
    )
    text = rng.choice(
        (draft.path, "/api/pay", "/in/messages", "/files/pay.php", "http://x/api/pay", "")
    )
    draft.headers.append((rng.choice(names), text))
    if rng.random() < 0.6:
        draft.path = rng.choice(("/", "/public/x", "/other", "/api/other"))
    return True


def _odd(draft: Draft, rng: random.Random) -> bool:
    """A head that is spelled as few spell it."""
    name = _own(draft) or rng.choice(("Content-Type", "Cookie", "Accept"))
    old = draft.header(name.lower()) or MINE
    ways = (
        name.upper(),
        name.replace("-", "_"),
        name.replace("-", "."),
        name + "_",
        "_" + name,
        name.replace("-", ""),
    )
    other = (rng.choice(ways), rng.choice((old, MINE)))
    if rng.random() < 0.5:
        draft.headers.append(other)
    else:
        draft.headers.insert(1, other)
    return True


MUTATORS: Final[Mapping[str, Callable[[Draft, random.Random], bool]]] = {
    "header twice": _twice,
    "connection": _connection,
    "target in a header": _target,
    "odd header": _odd,
    "folded header": _folded,
}
