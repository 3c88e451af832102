"""Ruled names in other spellings, in other places, twice, and with other values."""

from __future__ import annotations

import json
import random  # noqa: TID251 - a run shall be repeatable, and nothing here is secret
from collections.abc import Callable, Mapping
from typing import Final

from ..case import MINE, VICTIM
from ..draft import TYPES, Draft, Part, bracketed, disposition
from ..names import bent, for_form, for_header, for_json, for_part

_DECOY: Final = "decoy"


def ruled(draft: Draft) -> list[str]:
    """Return every name that the rule or the handler of a draft reads."""
    found = [*draft.route.fields, draft.route.conversation, draft.route.when]
    return [name for name in found if name and name != "body"]


def value(draft: Draft, name: str, rng: random.Random) -> str:
    """Return what a second occurrence of a ruled name holds."""
    if name == draft.route.conversation:
        return VICTIM if rng.random() < 0.1 else MINE
    if name == draft.route.when:
        return rng.choice(("secret", "public", " secret", "Secret"))
    return _DECOY if rng.random() < 0.1 else draft.value


def _insert(found: list[tuple[str, str]], pair: tuple[str, str], rng: random.Random) -> None:
    found.insert(rng.randrange(len(found) + 1), pair)


def into_body(draft: Draft, name: str, text: str, rng: random.Random) -> bool:
    """Add a name and a text to the body, as its format writes them."""
    if draft.kind in {"form", "parts"} and rng.random() < 0.7:
        name = bracketed(name)
    if draft.kind in {"json", "records", "events"}:
        _into_object(rng.choice([draft.members, *draft.records]), name, text, rng)
    elif draft.kind == "form":
        _insert(draft.members, (for_form(name, rng), text.replace(" ", "+")), rng)
    elif draft.kind == "parts":
        named = rng.choice((None, None, None, "file.txt"))
        part = Part([disposition(for_part(name, rng), named)], text)
        draft.parts.insert(rng.randrange(len(draft.parts) + 1), part)
    else:
        return False
    return True


def _into_object(members: list[tuple[str, str]], name: str, text: str, rng: random.Random) -> None:
    outer, dot, inner = name.partition(".")
    if not dot or rng.random() < 0.2:
        _insert(members, (for_json(name, rng), json.dumps(text)), rng)
        return
    pair = f"{for_json(inner, rng)}:{json.dumps(text)}"
    for at, (one, old) in enumerate(members):
        if one == json.dumps(outer) and old.startswith("{") and rng.random() < 0.7:
            members[at] = (one, rng.choice((f"{{{pair},{old[1:]}", f"{old[:-1]},{pair}}}")))
            return
    shape = rng.choice(("{{{}}}", "{{{}}}", "[{{{}}}]"))
    _insert(members, (for_json(outer, rng), shape.format(pair)), rng)


def into_query(draft: Draft, name: str, text: str, rng: random.Random) -> bool:
    """Add a name and a text to the query."""
    if rng.random() < 0.6:
        name = bracketed(name)
    pair = f"{for_form(name, rng)}={text.replace(' ', '+')}"
    draft.query.insert(rng.randrange(len(draft.query) + 1), pair)
    return True


def _into_cookie(draft: Draft, name: str, text: str, rng: random.Random) -> bool:
    if draft.kind in {"json", "records", "events"}:
        return False  # of these, no rule compares cookies: session cookies have names of members
    old = draft.header("cookie")
    pair = f"{for_form(name, rng)}={text}"
    draft.set_header("Cookie", f"{old}; {pair}" if old and rng.random() < 0.7 else pair)
    return True


def _into_header(draft: Draft, name: str, text: str, rng: random.Random) -> bool:
    draft.headers.insert(rng.randrange(1, len(draft.headers) + 1), (for_header(name, rng), text))
    return True


_PLACES: Final = (into_body, into_query, into_query, _into_cookie, _into_header)


def twin(draft: Draft, rng: random.Random) -> bool:
    """Another spelling of a ruled name where the rule looks for it."""
    names = ruled(draft)
    if not names:
        return False
    name = rng.choice(names)
    other, _ = bent(name, rng)
    text = value(draft, name, rng)
    if name == draft.route.conversation and draft.route.source == "query":
        return into_query(draft, other, text, rng)
    if name.startswith("x-"):
        return _into_header(draft, other, text, rng)
    return into_body(draft, other, text, rng)


def elsewhere(draft: Draft, rng: random.Random) -> bool:
    """A ruled name in another place, as it is or in another spelling."""
    names = ruled(draft)
    if not names:
        return False
    name = rng.choice(names)
    other, _ = bent(name, rng) if rng.random() < 0.5 else (name, "same")
    return rng.choice(_PLACES)(draft, other, value(draft, name, rng), rng)


def rename(draft: Draft, rng: random.Random) -> bool:
    """A ruled name in another spelling instead of its own."""
    names = ruled(draft)
    if not names:
        return False
    name = rng.choice(names)
    name = bracketed(name) if draft.kind in {"form", "parts"} else name.partition(".")[0]
    other, _ = bent(name, rng)
    if draft.kind == "parts":
        own = disposition(name)
        for part in draft.parts:
            if part.head and part.head[0].startswith(own):
                part.head[0] = part.head[0].replace(own, disposition(for_part(other, rng)))
                return True
        return False
    own, written = (
        (name, for_form(other, rng))
        if draft.kind == "form"
        else (json.dumps(name), for_json(other, rng))
    )
    for at, (one, text) in enumerate(draft.members):
        if one == own:
            draft.members[at] = (written, text)
            return True
    return False


def missing(draft: Draft, rng: random.Random) -> bool:
    """A ruled name that is not there, or another value than the one to be sealed."""
    own = {json.dumps(name.partition(".")[0]) for name in ruled(draft)} | {
        bracketed(name) for name in ruled(draft)
    }
    found = [at for at, (name, _) in enumerate(draft.members) if name in own]
    if not found:
        return False
    at = rng.choice(found)
    if rng.random() < 0.5:
        del draft.members[at]
    else:
        name, text = draft.members[at]
        quoted = text.startswith('"')
        draft.members[at] = (name, '"decoy"' if quoted else "decoy")
    return True


_SHAPES: Final = (
    "[{}]",
    '{{"x":{}}}',
    "[[{}]]",
    "[null,{}]",
    "{}",
    '{{"0":{}}}',
    '[{{"value":{}}}]',
    " {} ",
    "null",
    "true",
    '""',
    "[]",
    "{{}}",
    "12345.0",
    "1e2",
    "-0",
)


def shape(draft: Draft, rng: random.Random) -> bool:
    """A ruled member with a value of another shape, or within another member."""
    if draft.kind not in {"json", "records", "events"}:
        return False
    own = {json.dumps(name.partition(".")[0]) for name in ruled(draft)}
    found = [at for at, (name, _) in enumerate(draft.members) if name in own]
    if not found:
        return False
    at = rng.choice(found)
    name, text = draft.members[at]
    if rng.random() < 0.3:
        outer = rng.choice(('"data"', '"body"', '"__proto__"', '"constructor"', '"$set"', '""'))
        draft.members.insert(rng.randrange(len(draft.members) + 1), (outer, f"{{{name}:{text}}}"))
    else:
        draft.members[at] = (name, rng.choice(_SHAPES).format(text))
    return True


_SEPARATORS: Final = (
    ";",
    "&amp;",
    "%26",
    "\n",
    "&&",
    ",",
    "|",
    "%0a",
    "&x&",
    "?",
    "#",
    "%3b",
    "+&+",
    " & ",
)


def separated(draft: Draft, rng: random.Random) -> bool:
    """A ruled name behind something that only some take for the end of a pair."""
    names = ruled(draft)
    if not names:
        return False
    name = rng.choice(names)
    pair = f"{rng.choice(_SEPARATORS)}{for_form(name, rng)}={value(draft, name, rng)}"
    if draft.kind == "form" and draft.members and rng.random() < 0.6:
        at = rng.randrange(len(draft.members))
        one, text = draft.members[at]
        draft.members[at] = (one, text + pair)
    else:
        draft.query.append("x=1" + pair.replace("\n", "%0a").replace(" ", "+"))
    return True


def crowded(draft: Draft, rng: random.Random) -> bool:
    """A second occurrence of a selected name behind or before more pairs than some count."""
    names = [name for name in draft.route.fields if name != "body"]
    if not names:
        return False
    many = rng.choice((64, 300, 1001, 1500))
    fill = [(f"f{at}", "x") for at in range(many)]
    name = rng.choice(names)
    where = rng.randrange(3)
    if where == 0 and draft.kind == "form":
        draft.members = [*fill, *draft.members] if rng.random() < 0.5 else [*draft.members, *fill]
        into_body(draft, bent(name, rng)[0], draft.value, rng)
    elif where == 1 and draft.kind == "json":
        draft.members += [(f'"{one}"', '"x"') for one, _ in fill]
        into_body(draft, bent(name, rng)[0], draft.value, rng)
    else:
        draft.query += [f"{one}={text}" for one, text in fill[:900]]
        into_query(draft, bent(name, rng)[0], draft.value, rng)
    return True


def bodied(draft: Draft, rng: random.Random) -> bool:
    """A body where there is none, with the names of the query."""
    if draft.kind != "none":
        return False
    draft.kind = rng.choice(("form", "json", "parts"))
    draft.set_header("Content-Type", TYPES[draft.kind])
    name, _ = bent(draft.route.fields[0], rng)
    return into_body(draft, name, draft.value, rng)


def swapped(draft: Draft, _: random.Random) -> bool:
    """The conversation of the sealed value where the second one stands, and the other way round."""

    def swap(text: str) -> str:
        return text.replace(VICTIM, "\0").replace(MINE, VICTIM).replace("\0", MINE)

    draft.path = swap(draft.path)
    draft.query = [swap(one) for one in draft.query]
    draft.headers = [(name, swap(text)) for name, text in draft.headers]
    draft.frames.append(swap)
    return True


MUTATORS: Final[Mapping[str, Callable[[Draft, random.Random], bool]]] = {
    "twin": twin,
    "twin again": twin,
    "elsewhere": elsewhere,
    "elsewhere again": elsewhere,
    "rename": rename,
    "missing": missing,
    "shape": shape,
    "separated": separated,
    "crowded": crowded,
    "bodied": bodied,
    "swapped": swapped,
}
