"""The archive's values: tokens, sealed streams, key packages and the keys that open them."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from proxy.core.crypto import base64url, sealed_stream
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.equal import EqualSession
from proxy.core.crypto.joined_names import to_json
from proxy.core.crypto.secret import SessionKey
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import FORMS
from proxy.keys.keyring import poison
from proxy.keys.keyring.kek import RandomBytes
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.poison import Looks
from proxy.keys.keyring.root_secret import Passphrase
from proxy.keys.participants import Use, package, private_key
from proxy.keys.participants.package import Identity
from proxy.keys.participants.public_key import PublicKey, from_members
from proxy.keys.sessions.durable import durable_session
from tests.archive.people import context_of
from tests.keys.participants.builders import a_private_jwk, a_public_jwk
from tests.vectors.wire_names import LIST, MEMBERS, NESTED

PARTS: Final = {
    "tenant": "clinic",
    "conversation": "Grüße/世界 🌍",
    "field": "content",
    "message": "msg/ü-7",
    "purpose": "archive",
}
USUAL: Final = {"tenant": "clinic", "conversation": "c1", "field": "content"}
DRAWN: Final = tuple(one for one in FORMS if one != "equal")
"""The forms of tokens under session keys; equal ones are under an index secret."""
CHUNK: Final = sealed_stream.CHUNK_BYTES
_PASSPHRASE: Final = "another passphrase of tests"
_KEYS: Final[dict[str, Use]] = {
    "alice-sig": "sig",
    "alice-ps": "sig",
    "bob-enc": "enc",
    "bob-x": "enc",
    "bob-xw": "enc",
}


@dataclass(frozen=True, slots=True)
class Maker:
    """The time (seconds since 1970) and the random bytes that values are made with."""

    now: int
    random: RandomBytes

    def sid(self, began: int | None = None) -> bytes:
        """Return the id of a session that began then; by default ten minutes ago."""
        return (self.now - 600 if began is None else began).to_bytes(4) + self.random(8)


def write_tokens(folder: Path, maker: Maker, keyrings: Mapping[str, Keyring]) -> str:
    """Write tokens of every form and kind; return the name of the file.

    Of other keyrings than `keyring.jwe` there are fewer; they name their keyring.
    """
    tokens = list(_tokens(keyrings["keyring.jwe"], maker))
    merged = "keyring-merged.jwe"
    for file, opened_with in (
        ("keyring-new.jwe", "keyring-new.jwe"),
        ("keyring-fork.jwe", "keyring-fork.jwe"),
        ("keyring-fork.jwe", merged),
        ("keyring.jwe", merged),
    ):
        others = _tokens_of_another(keyrings[file], maker)
        tokens += ({**one, "keyring": opened_with} for one in others)
    (folder / "tokens.json").write_text(json.dumps(tokens, indent=1, ensure_ascii=False) + "\n")
    return "tokens.json"


def _tokens_of_another(kept: Keyring, maker: Maker) -> Iterator[dict[str, Any]]:
    for form in DRAWN:
        for kek in kept.keks:
            reason = "disabled-key" if kek.state == "disabled" else ""
            yield _token(kept, maker, USUAL, kek.id.encode(), form=form, kek=kek.id, reason=reason)
    parts = {"tenant": "clinic", "conversation": "revoked"}
    if kept.revocations:
        began = maker.now - 2000
        yield _token(kept, maker, parts, b"x", began=began, reason="revoked-session")


def _tokens(kept: Keyring, maker: Maker) -> Iterator[dict[str, Any]]:
    for parts in _combinations():
        for form in DRAWN:
            yield _token(kept, maker, parts, b"part \xf0\x9f\x8c\x8d", form=form)
    for kind in ("body", "stream"):
        yield _token(kept, maker, {**USUAL, "kind": kind}, b"\xff\x00", cty="text/html; charset=x")
    texts = [b"", "Grüße, 世界 🌍 \0".encode(), b"x" * 1024]
    for form, text in itertools.product(DRAWN, texts):
        yield _token(kept, maker, USUAL, text, form=form)
        yield _token(kept, maker, USUAL, text, form=form, ephemeral=True)
    for either, text in itertools.product(
        ("jwe", "short"), [b"1.10", b'{"b": 1, "a" :[ ]}', b"null"]
    ):
        yield _token(kept, maker, USUAL, text, form=either, cty="json")
        yield _token(kept, maker, USUAL, text, form=either, cty="json", ephemeral=True)
    yield from _limited(kept, maker)
    yield from _joined(kept, maker)
    yield from _equal(kept)
    for form in DRAWN:
        yield _poison(kept, maker, form)


def _limited(kept: Keyring, maker: Maker) -> Iterator[dict[str, Any]]:
    """Yield tokens that time, KEK, name or revocation decide about."""
    for lasting in ("jwe", "base64"):
        yield _token(kept, maker, USUAL, b"until then", form=lasting, exp=maker.now + 3600)
        past: Any = {"exp": maker.now - 3600, "reason": "expired-token"}
        yield _token(kept, maker, USUAL, b"long ago", form=lasting, **past)
    yield _token(kept, maker, USUAL, b"[1]", cty="json", exp=maker.now + 3600)
    for kek, reason in (("k1", ""), ("k6", ""), ("k3", "disabled-key")):
        for form in DRAWN:
            text = b"of " + kek.encode()
            yield _token(kept, maker, USUAL, text, form=form, kek=kek, reason=reason)
    for conversation in ("5:alice3:bob", "1:5", "3:a:b", "0:", "5:alice3:bo", "01:a", "2:ü"):
        for form in DRAWN:
            parts = {**USUAL, "conversation": conversation}
            yield _token(kept, maker, parts, b"a name with colons", form=form)
    for began, reason in ((maker.now - 2000, "revoked-session"), (maker.now - 1000, "")):
        parts = {"tenant": "clinic", "conversation": "revoked"}
        yield _token(kept, maker, parts, b"x", began=began, reason=reason)


def _joined(kept: Keyring, maker: Maker) -> Iterator[dict[str, Any]]:
    """Yield tokens of joined names."""
    for name, part, form in itertools.product(
        (LIST, MEMBERS, NESTED), ("tenant", "conversation", "message"), DRAWN
    ):
        parts = {**USUAL, part: to_json(name)}
        yield _token(kept, maker, parts, b"joined", form=form)
    parts = {"tenant": "clinic", "conversation": ["revoked", "pair"]}
    for began, reason in ((maker.now - 2000, "revoked-session"), (maker.now - 1000, "")):
        yield _token(kept, maker, parts, b"x", began=began, reason=reason)


def _equal(kept: Keyring) -> Iterator[dict[str, Any]]:
    """Yield tokens in the equal form, which nothing is drawn for, of each generation."""
    of: list[dict[str, Any]] = [
        {},
        {"field": "email"},
        {"tenant": "clinic"},
        {"tenant": "clinic", "field": "email"},
    ]
    of += [{"tenant": to_json(name), "field": "email"} for name in (LIST, MEMBERS, NESTED)]
    for one, parts, text in itertools.product(kept.index, of, (b"", b"1.10", b"x" * 1024)):
        context = context_of(parts)
        session = EqualSession(one.key, one.generation, context.scope)
        for cty in (None, "json") if text else (None,):
            yield {
                "parts": parts,
                "form": "equal",
                "secret": one.key.reveal().hex(),
                "generation": one.generation,
                "token": session.seal(text, context, cty=cty).decode(),
                **({"cty": cty} if cty else {}),
                "plaintext": base64.b64encode(text).decode(),
                "reason": "revoked-meanwhile" if kept.refused_before(context.scope) else "",
            }


def _combinations() -> Iterator[dict[str, str]]:
    for size in range(len(PARTS) + 1):
        for names in itertools.combinations(PARTS, size):
            yield {name: PARTS[name] for name in names}


def _token(
    kept: Keyring,
    maker: Maker,
    parts: Mapping[str, object],
    plaintext: bytes,
    *,
    kek: str | None = None,
    ephemeral: bool = False,
    began: int | None = None,
    reason: str = "",
    **how: Any,  # noqa: ANN401 - as Session.seal takes them
) -> dict[str, Any]:
    context, sid = context_of(parts), maker.sid(began)
    item: dict[str, Any] = {"parts": parts, "form": how.get("form", "jwe")}
    if ephemeral:
        key = maker.random(32)
        session = Session(SessionKey(key), sid=sid, scope=context.scope)
        item["session key"] = key.hex()
    else:
        entry = kept.primary if kek is None else kept.entry(kek)
        session = durable_session(entry, sid, context.scope)
        item["kek"] = entry.id
    item["token"] = session.seal(plaintext, context, **how).decode()
    item["plaintext"] = base64.b64encode(plaintext).decode()
    return {**item, **{name: how[name] for name in ("cty", "exp") if name in how}, "reason": reason}


def _poison(kept: Keyring, maker: Maker, form: Any) -> dict[str, Any]:  # noqa: ANN401 - a Form
    text, sid = poison.make(kept, maker.now - 600, Looks(form, 20), random=maker.random)
    parts = {"tenant": "clinic"}
    reason = "wrong-context"
    return {
        "parts": parts,
        "form": form,
        "kek": kept.primary.id,
        "token": text,
        "poison": sid,
        "reason": reason,
    }


def write_streams(folder: Path, maker: Maker, kept: Keyring) -> list[dict[str, Any]]:
    """Write sealed streams of bodies and of parts, of one chunk and of several."""
    body: Mapping[str, object] = {"tenant": "clinic", "conversation": "c1", "kind": "stream"}
    part = {**body, "field": "attachment", "message": "m/1"}
    made: list[tuple[str, Mapping[str, object], int, str]] = [
        ("empty", body, 0, ""),
        ("short", body, 20, "text/plain; charset=utf-8"),
        ("one-chunk-less-one", part, CHUNK - 1, "image/png"),
        ("one-chunk", part, CHUNK, "image/png"),
        ("several-chunks", body, 3 * CHUNK + 77, "application/pdf"),
        ("joined", {**body, "conversation": to_json(MEMBERS)}, 20, "image/png"),
    ]
    return [_stream(folder, kept, maker, *one) for one in made]


def _stream(  # noqa: PLR0917 - each names one choice
    folder: Path,
    kept: Keyring,
    maker: Maker,
    name: str,
    parts: Mapping[str, object],
    size: int,
    media: str,
) -> dict[str, Any]:
    context = context_of(parts)
    sid = maker.sid()
    session = durable_session(kept.primary, sid, context.scope)
    plaintext = hashlib.shake_256(name.encode()).digest(size)
    head, sealer = sealed_stream.begin(session, context, media)
    file = f"stream-{name}.bin"
    (folder / file).write_bytes(head + sealer.update(plaintext) + sealer.finish())
    digest = hashlib.sha256(plaintext).hexdigest()
    item = {"file": file, "kek": kept.primary.id, "parts": parts, "media type": media}
    return {**item, "plaintext": f"SHAKE-256 of {name!r}", "size": size, "sha256": digest}


def write_packages(folder: Path, maker: Maker) -> dict[str, Any]:
    """Write key packages of every kind, the keys that open them, and tokens under their keys."""
    keys = {name: from_members(_public(name), use) for name, use in _KEYS.items()}
    (folder / "private-keys.json").write_text(json.dumps(_private_keys(keys), indent=1) + "\n")
    made = [
        ("rsa", "alice-sig", ("bob-enc",), Scope("clinic", "c1")),
        ("x25519", "alice-sig", ("bob-x",), Scope("clinic", "c1")),
        ("x-wing", "alice-sig", ("bob-xw",), Scope("clinic", "c1")),
        ("all-ps256", "alice-ps", ("bob-enc", "bob-x", "bob-xw"), Scope("clinic", "Grüße 🌍")),
        ("joined", "alice-sig", ("bob-enc", "bob-x"), Scope("clinic", "5:alice3:bob")),
        ("members", "alice-sig", ("bob-enc", "bob-x"), Scope("clinic", MEMBERS)),
        ("unnamed", "alice-sig", ("bob-x",), Scope()),
    ]
    packages = [_package(keys, maker, *one) for one in made]
    (folder / "packages.json").write_text(json.dumps(packages, indent=1, ensure_ascii=False) + "\n")
    return {
        "packages": "packages.json",
        "private keys": "private-keys.json",
        "passphrase": _PASSPHRASE,
    }


def _package(  # noqa: PLR0917 - each names one choice
    keys: dict[str, PublicKey],
    maker: Maker,
    name: str,
    sender: str,
    recipients: tuple[str, ...],
    scope: Scope,
) -> dict[str, Any]:
    key, sid = maker.random(32), maker.sid(maker.now)
    text = package.seal(
        SessionKey(key),
        sid=sid,
        scope=scope,
        sender=Identity(keys[sender], a_private_jwk(sender)),
        recipients=[keys[one] for one in recipients],
        now=maker.now,
        ttl=86_400,
    )
    session = Session(SessionKey(key), sid=sid, scope=scope, packaged=True)
    sealed = session.seal(b"for the recipients alone", Context(scope, field="content"))
    parts = {"tenant": to_json(scope.tenant), "conversation": to_json(scope.conversation)}
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
