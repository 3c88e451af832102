"""Makes wire/equal.json: tokens in the equal form, and what must not open."""

from __future__ import annotations

import os
from base64 import b64encode

from proxy.core.crypto import base64url
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.equal import EqualSession
from proxy.core.crypto.joined_names import Name
from proxy.core.crypto.secret import KEY_BYTES, IndexSecret
from tests.vectors.wire_names import LIST, Vector, spelled

_VALUES: tuple[tuple[bytes, str | None], ...] = (
    (b"", None),
    (b"ann@example.com", None),
    ("Gr\u00fc\u00dfe \U0001f44d".encode(), None),
    (b"x" * 1000, None),
    (b"17", "json"),
    (b'{"a":[1,null]}', "json"),
)
_SCOPES: tuple[Name | None, ...] = ("clinic", LIST, None)


def equal_values() -> list[Vector]:
    """Return tokens of several scopes, fields and generations, each with changed ones."""
    made: list[Vector] = []
    for at, tenant in enumerate(_SCOPES):
        for value, cty in _VALUES:
            made += _of_value(tenant, (1, 258, 65_535)[at], value, cty)
    return made


def _of_value(tenant: Name | None, generation: int, value: bytes, cty: str | None) -> list[Vector]:
    material = os.urandom(KEY_BYTES)
    parts: dict[str, Name] = {"field": "email"}
    if tenant is not None:
        parts["tenant"] = tenant
    scope = Scope(tenant)
    session = EqualSession(IndexSecret(material), generation, scope)
    sealed = session.seal(value, Context(scope, "email"), cty=cty)
    about = {
        "secret": material.hex(),
        "generation": generation,
        "parts": spelled(parts),
        "plaintext": b64encode(value).decode(),
        "cty": cty,
    }
    found = [{**about, "token": sealed.decode(), "opens": True}]
    if tenant != "clinic":
        return found
    data = base64url.decode(sealed[4:])
    for at in (0, 1, 2, 3, 18, len(data) - 1):
        for bit in (1, 2, 8, 128):
            changed = bytes((*data[:at], data[at] ^ bit, *data[at + 1 :]))
            text = "sy1." + base64url.encode(changed).decode()
            found.append({**about, "token": text, "opens": False})
    text = "sy1." + base64url.encode(data[:-1]).decode()
    other = {"secret": os.urandom(KEY_BYTES).hex(), "opens": False, "token": sealed.decode()}
    found += [
        {**about, "token": text, "opens": False},
        {**about, "token": sealed.decode()[4:], "opens": False},
        {**about, "token": sealed.decode() + "=", "opens": False},
        {**about, **other},
    ]
    others: tuple[dict[str, Name], ...] = (
        {"field": "name"},
        {"tenant": "other"},
        {"message": "m1"},
    )
    for more in others:
        bound = spelled({**parts, **more})
        found.append({**about, "parts": bound, "token": sealed.decode(), "opens": False})
    return found
