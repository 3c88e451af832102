"""Spellings of a name that some parser reads as that name, as classes of what parsers do.

A spelling is made in two steps: the name itself is bent (`bent`), and what came of it is written as
its place demands (`for_json`, `for_form`, `for_part`), again in one of several ways.
"""

from __future__ import annotations

import json
import random  # noqa: TID251 - a run shall be repeatable, and nothing here is secret
import re
import string
from collections.abc import Callable
from typing import Final

Bend = Callable[[str, random.Random], str]

_LOOKALIKES: Final = {
    "s": "\u017f",
    "k": "\u212a",
    "i": "\u0131\u0130",
    "a": "\u00aa",
    "o": "\u00ba",
}
_WIDE: Final = 0xFEE0
_MATHEMATICAL: Final = 0x1D41A - ord("a")
_CIRCLED: Final = 0x24D0 - ord("a")


def _at(name: str, rng: random.Random, change: Callable[[str], str]) -> str:
    at = rng.randrange(len(name))
    return name[:at] + change(name[at]) + name[at + 1 :]


def _case(name: str, rng: random.Random) -> str:
    ways = (name.upper(), name.lower(), name.swapcase(), name[:1].upper() + name[1:], name.title())
    found = rng.choice((*ways, _at(name, rng, str.swapcase)))
    return found if found != name else name.swapcase()


def words(name: str) -> list[str]:
    """Return the words of a name: `conversationId`, `x-room` and `room_id` have two."""
    return [one for one in re.split(r"[-_. ]|(?<=[a-z0-9])(?=[A-Z])", name) if one]


def _joined(name: str, rng: random.Random) -> str:
    found = words(name)
    if len(found) == 1:
        return rng.choice(("_", "-", ".")).join((name[:1], name[1:]))
    joint: str = rng.choice(("_", "-", ".", " ", "", "__"))
    lower = [one.lower() for one in found]
    ways = (lower, [one.upper() for one in found], [one.title() for one in found])
    return joint.join(rng.choice(ways))


def _compatible(name: str, rng: random.Random) -> str:
    def other(letter: str) -> str:
        if letter not in string.ascii_letters:
            return letter
        wide = chr(ord(letter) + _WIDE)
        small = letter.lower()
        found = [wide, chr(ord(small) + _MATHEMATICAL), chr(ord(small) + _CIRCLED)]
        chosen: str = rng.choice([*found, *_LOOKALIKES.get(small, "")])
        return chosen

    return _at(name, rng, other)


def _blank(name: str, rng: random.Random) -> str:
    blank = rng.choice((" ", "  ", "\t", "\n", "\r", "\v", "\u00a0", "\u3000", "\u200b", "\ufeff"))
    return rng.choice((blank + name, name + blank, blank + name + blank))


def _nul(name: str, rng: random.Random) -> str:
    return rng.choice((name + "\0", name + "\0x", "\0" + name, _at(name, rng, lambda c: c + "\0")))


def _brackets(name: str, rng: random.Random) -> str:
    ways = (
        "{}[]",
        "{}[0]",
        "{}[x]",
        "[{}]",
        "{}[",
        "{}]",
        "[{}",
        "x[{}]",
        "{}[][x]",
        "{}[ ]",
        "{}%5B",
    )
    return rng.choice((*ways, "{}[x", "][{}]", "[][{}]", "{}[]x")).replace("{}", name)


def _affixed(name: str, rng: random.Random) -> str:
    before = ("_", "!", "@", "$", "-", ".", "*", "amp;", "?", ";", "#", "/", "\\", "data.", "--")
    behind = (".", "_", "-", "*", "!", "[", ";x", "#", ",", ":", ".x", ".0", "$", "*0", "=", "'")
    if rng.random() < 0.1:
        return rng.choice(("'{}'", '"{}"', "({})", "<{}>")).replace("{}", name)
    return rng.choice(before) + name if rng.random() < 0.5 else name + rng.choice(behind)


def _prototype(name: str, rng: random.Random) -> str:
    return rng.choice(("__proto__[{}]", "__proto__.{}", "constructor[prototype][{}]")).replace(
        "{}", name
    )


BENDS: Final[dict[str, Bend]] = {
    "same": lambda name, _: name,
    "case": _case,
    "words": _joined,
    "compatibility": _compatible,
    "blank": _blank,
    "NUL": _nul,
    "brackets": _brackets,
    "affix": _affixed,
    "prototype": _prototype,
}


def bent(name: str, rng: random.Random, *, same: bool = True) -> tuple[str, str]:
    """Return another spelling of a name and the class that it is of; perhaps the same one."""
    kind = rng.choice([one for one in BENDS if same or one != "same"])
    return BENDS[kind](name, rng), kind


def _bytes(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def for_json(name: str, rng: random.Random) -> str:
    """Return a name as a JSON text, perhaps with escapes that nobody needs."""
    if rng.random() < 0.3:
        letters = [
            f"\\u{ord(c):04x}" if rng.random() < 0.4 and ord(c) < 0x10000 else None for c in name
        ]
        plain = (json.dumps(c)[1:-1] for c in name)
        return '"' + "".join(a or b for a, b in zip(letters, plain, strict=True)) + '"'
    return _bytes(json.dumps(name, ensure_ascii=rng.random() < 0.5))


def for_form(name: str, rng: random.Random) -> str:
    """Return a name as a form or a query has it: encoded once, too much, or twice."""
    kept = string.ascii_letters + string.digits + "_-.~" + rng.choice(("", "[]", "[]!*'();:@$,/?"))
    chance = rng.choice((0.0, 0.0, 0.3))
    twice = rng.random() < 0.07
    old = rng.random() < 0.04
    overlong = rng.random() < 0.02
    found = []
    for one in _bytes(name):
        if one == " " and rng.random() < 0.5:
            found.append("+")
        elif one in kept and rng.random() >= chance and not overlong:
            found.append(one)
        elif old:
            found.append(f"%u{ord(one):04x}")
        elif overlong and one in string.ascii_letters:
            found.append(f"%C1%{0x80 + (ord(one) & 0x3F):02X}")
        else:
            found.append(("%25" if twice else "%") + f"{ord(one):02{rng.choice('xX')}}")
    if rng.random() < 0.03:
        found.insert(
            rng.randrange(len(found) + 1), rng.choice(("%FF", "%", "%zz", "%C0%80", "%00"))
        )
    return "".join(found)


def for_part(name: str, rng: random.Random) -> str:
    """Return a name as it stands between the quotes of a part's head."""
    if rng.random() < 0.15:
        return for_form(name, rng)
    found = name.replace("\r", "%0D").replace("\n", "%0A")
    if rng.random() < 0.1:
        found = _at(found, rng, lambda c: "\\" + c)
    return _bytes(found.replace('"', rng.choice(('\\"', "%22"))))


def for_header(name: str, rng: random.Random) -> str:
    """Return a name that a header may have, of one that it may not."""
    return re.sub(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]", lambda _: rng.choice("._-"), name)
