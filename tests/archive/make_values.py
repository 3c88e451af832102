"""The archive's values: tokens, sealed streams, key packages and the keys that open them."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from proxy.core.crypto import base64url, sealed_stream
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.secret import SessionKey
from proxy.core.crypto.session_cipher import Session
from proxy.keys.keyring import poison
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.poison import Looks
from proxy.keys.keyring.root_secret import Passphrase
from proxy.keys.participants import package, private_key
from proxy.keys.participants.package import Identity
from proxy.keys.participants.public_key import PublicKey, Use, from_members
from proxy.keys.sessions.durable import durable_session
from tests.archive.people import context_of
from tests.keys.participants.builders import a_private_jwk, a_public_jwk

PARTS: Final = {
    "tenant": "clinic",
    "conversation": "Grüße/世界 🌍",
    "field": "content",
    "message": "msg/ü-7",
    "purpose": "archive",
}
USUAL: Final = {"tenant": "clinic", "conversation": "c1", "field": "content"}
CHUNK: Final = sealed_stream.CHUNK_BYTES
_PASSPHRASE: Final = "another passphrase of tests"
_KEYS: Final[dict[str, Use]] = {
    "alice-sig": "sig",
    "alice-ps": "sig",
    "bob-enc": "enc",
    "bob-x": "enc",
    "bob-xw": "enc",
}


def write_tokens(folder: Path, kept: Keyring, now: int) -> str:
    """Write tokens of every form and kind; return the name of the file."""
    tokens = list(_tokens(kept, now))
    (folder / "tokens.json").write_text(json.dumps(tokens, indent=1, ensure_ascii=False) + "\n")
    return "tokens.json"


def _tokens(kept: Keyring, now: int) -> Iterator[dict[str, Any]]:
    for parts in _combinations():
        for form in ("jwe", "short"):
            yield _token(kept, now, parts, b"part \xf0\x9f\x8c\x8d", form=form)
    for kind in ("body", "stream"):
        yield _token(kept, now, {**USUAL, "kind": kind}, b"\xff\x00", cty="text/html; charset=x")
    texts = [b"", "Grüße, 世界 🌍 \0".encode(), b"x" * 1024]
    for form, text in itertools.product(("jwe", "short"), texts):
        yield _token(kept, now, USUAL, text, form=form)
        yield _token(kept, now, USUAL, text, form=form, ephemeral=True)
    for form, text in itertools.product(
        ("jwe", "short"), [b"1.10", b'{"b": 1, "a" :[ ]}', b"null"]
    ):
        yield _token(kept, now, USUAL, text, form=form, cty="json")
        yield _token(kept, now, USUAL, text, form=form, cty="json", ephemeral=True)
    yield from _limited(kept, now)
    for form in ("jwe", "short"):
        yield _poison(kept, now, form)


def _limited(kept: Keyring, now: int) -> Iterator[dict[str, Any]]:
    """Yield tokens that time, KEK, name or revocation decide about."""
    yield _token(kept, now, USUAL, b"until then", exp=now + 3600)
    yield _token(kept, now, USUAL, b"long ago", exp=now - 3600, reason="expired-token")
    yield _token(kept, now, USUAL, b"[1]", cty="json", exp=now + 3600)
    for kek, reason in (("k1", ""), ("k6", ""), ("k3", "disabled-key")):
        for form in ("jwe", "short"):
            yield _token(kept, now, USUAL, b"of " + kek.encode(), form=form, kek=kek, reason=reason)
    for conversation in ("5:alice3:bob", "1:5", "3:a:b", "0:", "5:alice3:bo", "01:a", "2:ü"):
        for form in ("jwe", "short"):
            parts = {**USUAL, "conversation": conversation}
            yield _token(kept, now, parts, b"a name that may read as joined", form=form)
    for began, reason in ((now - 2000, "revoked-session"), (now - 1000, "")):
        parts = {"tenant": "clinic", "conversation": "revoked"}
        yield _token(kept, now, parts, b"x", began=began, reason=reason)


def _combinations() -> Iterator[dict[str, str]]:
    for size in range(len(PARTS) + 1):
        for names in itertools.combinations(PARTS, size):
            yield {name: PARTS[name] for name in names}


def _token(
    kept: Keyring,
    now: int,
    parts: dict[str, str],
    plaintext: bytes,
    *,
    kek: str = "k4",
    ephemeral: bool = False,
    began: int | None = None,
    reason: str = "",
    **how: Any,  # noqa: ANN401 - as Session.seal takes them
) -> dict[str, Any]:
    context = context_of(parts)
    sid = (now - 600 if began is None else began).to_bytes(4) + os.urandom(8)
    item: dict[str, Any] = {"parts": parts, "form": how.get("form", "jwe")}
    if ephemeral:
        key = os.urandom(32)
        session = Session(SessionKey(key), sid=sid, scope=context.scope)
        item["session key"] = key.hex()
    else:
        session = durable_session(kept.entry(kek), sid, context.scope)
        item["kek"] = kek
    item["token"] = session.seal(plaintext, context, **how).decode()
    item["plaintext"] = base64.b64encode(plaintext).decode()
    return {**item, **{name: how[name] for name in ("cty", "exp") if name in how}, "reason": reason}


def _poison(kept: Keyring, now: int, form: Any) -> dict[str, Any]:  # noqa: ANN401 - a Form
    text, sid = poison.make(kept, now - 600, Looks(form, 20), random=os.urandom)
    parts = {"tenant": "clinic"}
    reason = "wrong-context" if form == "jwe" else "bad-tag"
    return {
        "parts": parts,
        "form": form,
        "kek": "k4",
        "token": text,
        "poison": sid,
        "reason": reason,
    }


def write_streams(folder: Path, kept: Keyring, now: int) -> list[dict[str, Any]]:
    """Write sealed streams of bodies and of parts, of one chunk and of several."""
    body = {"tenant": "clinic", "conversation": "c1", "kind": "stream"}
    part = {**body, "field": "attachment", "message": "m/1"}
    made = [
        ("empty", body, 0, ""),
        ("short", body, 20, "text/plain; charset=utf-8"),
        ("one-chunk-less-one", part, CHUNK - 1, "image/png"),
        ("one-chunk", part, CHUNK, "image/png"),
        ("several-chunks", body, 3 * CHUNK + 77, "application/pdf"),
    ]
    return [_stream(folder, kept, now, *one) for one in made]


def _stream(  # noqa: PLR0917 - each names one choice
    folder: Path, kept: Keyring, now: int, name: str, parts: dict[str, str], size: int, media: str
) -> dict[str, Any]:
    context = context_of(parts)
    sid = (now - 600).to_bytes(4) + os.urandom(8)
    session = durable_session(kept.primary, sid, context.scope)
    plaintext = hashlib.shake_256(name.encode()).digest(size)
    head, sealer = sealed_stream.begin(session, context, media)
    file = f"stream-{name}.bin"
    (folder / file).write_bytes(head + sealer.update(plaintext) + sealer.finish())
    digest = hashlib.sha256(plaintext).hexdigest()
    item = {"file": file, "kek": kept.primary.id, "parts": parts, "media type": media}
    return {**item, "plaintext": f"SHAKE-256 of {name!r}", "size": size, "sha256": digest}


def write_packages(folder: Path, now: int) -> dict[str, Any]:
    """Write key packages of every kind, the keys that open them, and tokens under their keys."""
    keys = {name: from_members(_public(name), use) for name, use in _KEYS.items()}
    (folder / "private-keys.json").write_text(json.dumps(_private_keys(keys), indent=1) + "\n")
    made = [
        ("rsa", "alice-sig", ("bob-enc",), Scope("clinic", "c1")),
        ("x25519", "alice-sig", ("bob-x",), Scope("clinic", "c1")),
        ("x-wing", "alice-sig", ("bob-xw",), Scope("clinic", "c1")),
        ("all-ps256", "alice-ps", ("bob-enc", "bob-x", "bob-xw"), Scope("clinic", "Grüße 🌍")),
        ("joined", "alice-sig", ("bob-enc", "bob-x"), Scope("clinic", "5:alice3:bob")),
        ("unnamed", "alice-sig", ("bob-x",), Scope()),
    ]
    packages = [_package(keys, now, *one) for one in made]
    (folder / "packages.json").write_text(json.dumps(packages, indent=1, ensure_ascii=False) + "\n")
    return {
        "packages": "packages.json",
        "private keys": "private-keys.json",
        "passphrase": _PASSPHRASE,
    }


def _package(  # noqa: PLR0917 - each names one choice
    keys: dict[str, PublicKey],
    now: int,
    name: str,
    sender: str,
    recipients: tuple[str, ...],
    scope: Scope,
) -> dict[str, Any]:
    key, sid = os.urandom(32), now.to_bytes(4) + os.urandom(8)
    text = package.seal(
        SessionKey(key),
        sid=sid,
        scope=scope,
        sender=Identity(keys[sender], a_private_jwk(sender)),
        recipients=[keys[one] for one in recipients],
        now=now,
        ttl=86_400,
    )
    session = Session(SessionKey(key), sid=sid, scope=scope, packaged=True)
    sealed = session.seal(b"for the recipients alone", Context(scope, field="content"))
    parts = {"tenant": scope.tenant, "conversation": scope.conversation}
    return {
        "name": name,
        "sender": sender,
        "recipients": list(recipients),
        "parts": {name: value for name, value in parts.items() if value is not None},
        "package": json.loads(text),
        "session key": key.hex(),
        "sid": base64url.encode(sid).decode(),
        "token": sealed.decode(),
        "field": "content",
        "plaintext": base64.b64encode(b"for the recipients alone").decode(),
    }


def _private_keys(keys: dict[str, PublicKey]) -> dict[str, Any]:
    """Return each key: its public JWK, and its private one as it is kept under a passphrase."""
    items = {}
    for name, public in keys.items():
        members = {**a_private_jwk(name), "use": public.use}
        _, sealed = private_key.seal(members, Passphrase(_PASSPHRASE))
        items[name] = {"public": public.to_jwk(), "private": sealed, "opened": a_private_jwk(name)}
    return items


def _public(name: str) -> dict[str, Any]:
    members = a_public_jwk(name)
    return {key: value for key, value in members.items() if key not in {"use", "alg", "kid"}} | (
        {"alg": members["alg"]} if members["kty"] == "AKP" else {}
    )
