"""Vectors of names, tokens and sealed streams; see make_wire."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Any

from proxy.core.crypto import base64url, sealed_stream
from proxy.core.crypto.joined_names import Joined, Name, to_json
from proxy.core.crypto.secret import SessionKey
from proxy.core.crypto.session_cipher import Session
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.name_keys import packages_name, record_name
from proxy.keys.sessions.durable import durable_session
from tests.vectors.wire_names import (
    LIST,
    MEMBERS,
    NESTED,
    NEW,
    NOW,
    TEXT,
    USUAL,
    Vector,
    a_context,
    spelled,
)


def contexts(keyring: Keyring) -> list[Vector]:
    """Return encodings of names of every kind."""
    cases: list[dict[str, Name]] = [
        {},
        {"tenant": ""},
        {"tenant": "clinic", "conversation": "Grüße 🌍"},
        {"tenant": "t", "conversation": "c", "field": "f", "message": "m", "purpose": "p"},
        {"kind": "stream"},
        {"conversation": LIST},
        {"conversation": MEMBERS},
        {"conversation": NESTED},
        {"conversation": Joined("list", (TEXT,))},
        {
            "tenant": MEMBERS,
            "conversation": LIST,
            "message": Joined("members", ("b", "aa", "b", "é")),
        },
        {
            "conversation": Joined(
                "members", (Joined("list", ("a",)), "a", Joined("members", ("a",)), "𐀀", "\uffff")
            )
        },
        {"conversation": TEXT},
    ]
    made = []
    for parts in cases:
        context = a_context(parts)
        name = record_name(keyring.name_key, context.scope)
        made.append(
            {
                "parts": spelled(parts),
                "context": context.encode().hex(),
                "scope": context.scope.encode().hex(),
                "sessions": name,
                "packages": packages_name(keyring.name_key, context.scope),
            }
        )
    return made


def tokens(keyring: Keyring) -> list[Vector]:
    """Return tokens that open, and such that must not."""
    made: list[Vector] = []

    def add(name: str, parts: dict[str, Name], plaintext: bytes, **how: Any) -> Vector:  # noqa: ANN401 - see a_token
        made.append(a_token(keyring, name, parts, plaintext, **how))
        return made[-1]

    for form in ("jwe", "short"):
        add(f"text, {form}", USUAL, "Grüße 🌍".encode(), form=form)
        add(f"empty, {form}", USUAL, b"", form=form)
        add(f"JSON, {form}", USUAL, b'{"b": 1.10, "a" :[ ]}', form=form, cty="json")
        add(f"ephemeral, {form}", USUAL, b"for ever gone", form=form, ephemeral=True)
        add(f"another KEK, {form}", USUAL, b"x", form=form, kek="a-B_" * 8)
        everything = {**USUAL, "message": "m/ü", "purpose": "archive"}
        add(f"all parts, {form}", everything, b"x", form=form)
        add(f"nothing bound, {form}", {}, b"x", form=form)
        for kind, name in {"list": LIST, "members": MEMBERS, "nested": NESTED}.items():
            for place in ("tenant", "conversation", "message"):
                parts = {**USUAL, place: name}
                joined = add(f"{kind} as {place}, {form}", parts, b"new", form=form)
                if name != NESTED:
                    told = f"{joined['name']}, for the text that reads like it"
                    text = spelled({**USUAL, place: TEXT})
                    made.append({**joined, "name": told, "parts": text, "opens": False})
        scalar = {**USUAL, "conversation": TEXT}
        like = add(f"a text that reads like a list, {form}", scalar, b"x", form=form)
        for name in (LIST, MEMBERS):
            refused = {**like, "parts": spelled({**USUAL, "conversation": name}), "opens": False}
            made.append({**refused, "name": f"{like['name']}, for {to_json(name)}"})
        for part, other in (("field", "subject"), ("conversation", "c2"), ("message", "m")):
            first = (
                made[0]
                if form == "jwe"
                else next(one for one in made if one["name"] == "text, short")
            )
            parts = {**USUAL, part: other}
            made.append(
                {
                    **first,
                    "name": f"another {part}, {form}",
                    "parts": spelled(parts),
                    "opens": False,
                }
            )
        broken = next(one for one in made if one["name"] == f"text, {form}")
        changed = {at: flipped(broken["token"], at) for at in (25, len(broken["token"]) - 5)}
        made += [
            {**broken, "name": f"changed at {at}, {form}", "token": one, "opens": False}
            for at, one in changed.items()
        ]
        add(f"disabled KEK, {form}", USUAL, b"x", form=form, kek="off")["opens"] = False
    body: dict[str, Name] = {"tenant": "clinic", "conversation": "c1", "kind": "body"}
    add("a body", body, b"<p>\xff</p>", cty="text/html; charset=latin1")
    add("a body without a type", body, bytes(range(256)))
    add("expires", USUAL, b"until then", exp=NOW - 60)
    add("expired", USUAL, b"until then", exp=NOW - 61)["opens"] = False
    revoked: dict[str, Name] = {"tenant": "clinic", "conversation": "revoked"}
    add("revoked", revoked, b"x")["opens"] = False
    add("after the revocation", revoked, b"x", began=NEW + 1)
    good = made[0]["token"]
    head, rest = good.split("..")
    header = base64url.decode(head.encode()).decode()
    for why, spelling in {
        "another order": header.replace(
            '"alg":"dir","enc":"A256GCM"', '"enc":"A256GCM","alg":"dir"'
        ),
        "a blank": header.replace(",", ", "),
        "zip": header[:-1] + ',"zip":"DEF"}',
        "alg none": header.replace('"dir"', '"none"'),
    }.items():
        again = f"{base64url.encode(spelling.encode()).decode()}..{rest}"
        made.append({**made[0], "name": why, "token": again, "opens": False})
    made.append({**made[0], "name": "padding", "token": good + "==", "opens": False})
    made.append(
        {**made[0], "name": "a second part", "token": f"{head}.AAAA.{rest}", "opens": False}
    )
    return made


def flipped(text: str, at: int) -> str:
    """Return the text with another character at a place."""
    return text[:at] + ("B" if text[at] == "A" else "A") + text[at + 1 :]


def a_token(
    keyring: Keyring,
    name: str,
    parts: dict[str, Name],
    plaintext: bytes,
    *,
    kek: str = "first",
    ephemeral: bool = False,
    began: int = NEW,
    **how: Any,  # noqa: ANN401 - as Session.seal takes them
) -> Vector:
    """Return a token of a session that began at that time."""
    context = a_context(parts)
    sid = began.to_bytes(4) + os.urandom(8)
    made: Vector = {"name": name, "parts": spelled(parts), "opens": True}
    if ephemeral:
        key = os.urandom(32)
        made["key"] = key.hex()
        session = Session(SessionKey(key), sid=sid, scope=context.scope)
    else:
        session = durable_session(keyring.entry(kek), sid, context.scope)
    made["token"] = session.seal(plaintext, context, **how).decode()
    made["plaintext"] = base64.b64encode(plaintext).decode()
    return {**made, "cty": how.get("cty"), "exp": how.get("exp")}


def streams(keyring: Keyring) -> list[Vector]:
    """Return sealed streams."""
    body: dict[str, Name] = {"tenant": "clinic", "conversation": "c1", "kind": "stream"}
    made: list[Vector] = []
    for name, parts, size, media in (
        ("empty", body, 0, ""),
        ("20 bytes", body, 20, "text/plain; charset=utf-8"),
        ("one chunk and an empty one", {**body, "field": "file"}, 16_384, "image/png"),
        ("two chunks", {**body, "conversation": MEMBERS}, 16_385, "image/png"),
    ):
        context = a_context(parts)
        session = durable_session(keyring.primary, NEW.to_bytes(4) + os.urandom(8), context.scope)
        plaintext = hashlib.shake_256(name.encode()).digest(size)
        head, sealer = sealed_stream.begin(session, context, media)
        sealed = head + sealer.update(plaintext) + sealer.finish()
        made.append(
            {
                "name": name,
                "parts": spelled(parts),
                "opens": True,
                "stream": base64.b64encode(sealed).decode(),
                "media type": media,
                "size": size,
                "sha256": hashlib.sha256(plaintext).hexdigest(),
            }
        )
    one, two = (base64.b64decode(made[at]["stream"]) for at in (1, 3))
    first, salt = len(two) - 16_400 - 17, len(one) - 36 - 56
    for of, name, data in (
        (1, "cut", one[:-1]),
        (1, "one byte more", one + b"\0"),
        (1, "another salt", one[:salt] + bytes(24) + one[salt + 24 :]),
        (3, "without its last chunk", two[:-17]),
        (3, "chunks swapped", two[:first] + two[-17:] + two[first:-17]),
    ):
        broken = {"name": name, "stream": base64.b64encode(data).decode(), "opens": False}
        made.append({**made[of], **broken})
    other = spelled({**body, "conversation": "c2"})
    made.append({**made[1], "name": "another conversation", "parts": other, "opens": False})
    return made
