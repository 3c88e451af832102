"""Messages as honest clients send them, with what such clients send beside the ruled names."""

from __future__ import annotations

import json
import random  # noqa: TID251 - a run shall be repeatable, and nothing here is secret
from typing import Final

from .case import CANARY, CHUNKS, VICTIM
from .draft import TYPES, Draft, Part, bracketed, disposition
from .routes import Route

_EXTRA_MEMBERS: Final = (
    ("title", "Results & more = 3"),
    ("note", "see https://clinic.example/a?x=1&card=2"),
    ("tags", ["a", "b"]),
    ("count", 3),
    ("price", 1.10),
    ("nested", {"id": 7, "_id": "x", "ok": True, "none": None}),
    ("code", "if (a) { b[0] = 'c'; }"),
    ("unicode", "Grüße, 日本 😀"),
    ("empty", ""),
    ("reply", {"content": "old", "conversationId": "other", "card": "x", "phone": 1, "kind": "y"}),
    ("items", [{"content": "a"}, {"content": "b"}]),
    ("link", "https://x.example/?conversationId=7&content=y&roomId=3"),
    ("contents", 1),
    ("card_holder", "A. Patient"),
    ("cardId", 4),
    ("id", 5),
    ("room", "a name"),
    ("_id", "5f"),
    ("__v", 0),
    ("@type", "Message"),
    ("$schema", "https://json-schema.org/x"),
    ("type", "text"),
    ("form", "a=1&b=2&card=none"),
    ("markup", "<p>data: x</p>\n\ndata: y\n\n"),
    ("multi\u00e9", 1),
)
_EXTRA_PAIRS: Final = (
    *("title=Results+%26+more", "tags[]=a", "tags[]=b", "n=3", "code=%7Ba%7D", "e=", "id=5"),
    *(
        "_token=abc",
        "authenticity_token=x%3D%3D",
        "utf8=%E2%9C%93",
        "commit=Send",
        "card_holder=A+B",
    ),
    *("address[street]=x", "address[city]=y", "tags=a", "tags=b", "note=%3Fcontent%3Dx%26card%3D1"),
)
_EXTRA_QUERY: Final = (
    *(
        "page=2",
        "tags[]=a",
        "tags[]=b",
        "q=x%20y",
        "utf8=%E2%9C%93",
        "flag",
        "sort=-date",
        "ids=1,2",
    ),
    *("filter[status]=new", "fields[]=id", "_=1763900000", "next=%2Fapi%2Fpay%3Fcard%3D1", "v=1.2"),
)
_EXTRA_HEADERS: Final = (
    ("Accept", "application/json, text/plain, */*"),
    ("User-Agent", "Mozilla/5.0"),
    ("Cookie", "session=abc123; theme=dark"),
    ("Cookie", "PHPSESSID=1f; csrf-token=x%3D; room=5; _ga=GA1.2.3"),
    ("Referer", "https://app.example/rooms?roomId=9&card=new&content=x"),
    ("X-Request-Id", "4f1d"),
    ("X-Forwarded-For", "10.0.0.1"),
    ("Origin", "https://app.example"),
    ("X-Requested-With", "XMLHttpRequest"),
    ("Accept-Encoding", "gzip"),
    ("Connection", "keep-alive"),
    ("Authorization", "Bearer abc.def"),
)


def base(route: Route, rng: random.Random) -> Draft:
    """Return a message as an honest client sends it, with what such clients send beside it."""
    kind = rng.choice(route.kinds)
    draft = Draft(route, kind, route.method, route.path)
    draft.headers = [("Host", "clinic.example")]
    draft.headers += rng.sample(_EXTRA_HEADERS, rng.choice((0, 0, 1, 3)))
    if kind in TYPES:
        draft.headers.append(("Content-Type", TYPES[kind]))
    if kind == "json" and rng.random() < 0.15:
        draft.set_header("Content-Type", "application/json; charset=utf-8")
    fields = dict.fromkeys(_fields(route, rng), draft.value)
    if draft.route.fields[0].startswith("x-"):
        draft.headers += fields.items()
        fields = {}
    if route.when:
        fields[route.when] = rng.choice(("secret", "public"))
    draft.query = rng.sample(_EXTRA_QUERY, rng.choice((0, 0, 0, 1, 2)))
    _conversation(draft, fields, rng)
    if kind == "none":
        draft.query += [f"{name}={value}" for name, value in fields.items()]
    else:
        _body(draft, fields, rng)
    rng.shuffle(draft.query)
    if rng.random() < 0.08 and kind in {"json", "form"}:
        draft.codings = rng.choice((["gzip"], ["chunked"], ["gzip", "chunked"]))
    if rng.random() < 0.5 and kind == "parts":
        draft.codings = [rng.choice([*CHUNKS])]
    return draft


def _fields(route: Route, rng: random.Random) -> list[str]:
    first, *others = route.fields
    if route.optional and rng.random() < 0.4:
        return []
    return [first, *(name for name in others if rng.random() < 0.4)]


def _conversation(draft: Draft, fields: dict[str, str], rng: random.Random) -> None:
    route = draft.route
    if route.source == "json":
        fields[route.conversation] = VICTIM
        if rng.random() < 0.05 and "." not in route.conversation:
            draft.query.append(f"{route.conversation}={VICTIM}")
    elif route.source == "query":
        draft.query.append(f"{route.conversation}={VICTIM}")
    elif route.source == "header":
        draft.headers.append((route.conversation, VICTIM))
    # A name that the rule does not read may still stand in the path.
    for name in (route.conversation, "id", "room"):
        draft.path = draft.path.replace("{" + name + "}", VICTIM)


def nested(fields: dict[str, str]) -> dict[str, object]:
    """Return what is to stand in a document: `user.card` is a member of a member."""
    found: dict[str, object] = {}
    for name, value in fields.items():
        outer, dot, inner = name.partition(".")
        if dot:
            members = found.setdefault(outer, {})
            if isinstance(members, dict):
                members[inner] = value
        else:
            found[outer] = value
    return found


def _body(draft: Draft, fields: dict[str, str], rng: random.Random) -> None:
    more = rng.choice((0, 0, 1, 3))
    named = draft.route.conversation  # of which an honest client has one
    if draft.kind in {"json", "records", "events"}:
        draft.members = [
            (json.dumps(name), json.dumps(value)) for name, value in nested(fields).items()
        ]
        draft.members += [
            (_json(name, rng), _json(VICTIM if name == named else value, rng))
            for name, value in rng.sample(_EXTRA_MEMBERS, more)
        ]
        rng.shuffle(draft.members)
        if draft.kind != "json" and rng.random() < 0.5:
            draft.records = [list(draft.members)]
    elif draft.kind == "form":
        extra = [pair.partition("=") for pair in rng.sample(_EXTRA_PAIRS, more)]
        draft.members = [(bracketed(name), value) for name, value in fields.items()]
        draft.members += [(name, value) for name, _, value in extra]
        rng.shuffle(draft.members)
    elif draft.kind == "parts":
        draft.parts = [_part(bracketed(name), value) for name, value in fields.items()]
        draft.parts += [_part(f"extra{at}", rng.choice(("x", ""))) for at in range(more)]
        rng.shuffle(draft.parts)
    else:
        draft.raw = f"some text with {CANARY} in it"


def _part(name: str, value: str) -> Part:
    if name == "attachment":
        head = [disposition(name, "note.txt"), "Content-Type: text/plain"]
        return Part(head, f"file {value}")
    return Part([disposition(name)], value)


def _json(value: object, rng: random.Random) -> str:
    """Return a JSON text, as latin-1 of its UTF-8; escaped or not."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    return text.encode().decode("latin-1")
