from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import RSAKey

from proxy.core.crypto import base64url
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.secret import SessionKey
from proxy.core.crypto.token import decode
from proxy.core.errors import OpenFailed, ParticipantError
from proxy.keys.participants import X_WING, package, public_key, signature, x_wing
from proxy.keys.participants.package import Identity, OpenedPackage
from proxy.keys.participants.private_key import native_rsa
from proxy.keys.policy import MAX_PACKAGE_BYTES
from tests.keys.builders import NOW

from .builders import a_private_jwk, a_public_key

SCOPE: Final = Scope("clinic", "c1")
KEY: Final = SessionKey(bytes(range(32)))
SID: Final = bytes(range(12))
VECTORS: Final = Path(__file__).parents[2] / "vectors" / "packages.json"
Members = dict[str, Any]


@cache
def identity(name: str) -> Identity:
    return Identity(a_public_key(name), a_private_jwk(name))


def sealed(**said: Any) -> bytes:  # noqa: ANN401 - any argument of seal
    standard = {
        "sid": SID,
        "scope": SCOPE,
        "sender": identity("alice-sig"),
        "recipients": [a_public_key("alice-enc"), a_public_key("bob-enc")],
        "now": NOW,
        "ttl": 3600,
    }
    return package.seal(KEY, **{**standard, **said})


def opened(text: bytes, name: str = "bob-enc", **said: Any) -> OpenedPackage:  # noqa: ANN401 - as above
    standard = {"sender": a_public_key("alice-sig"), "scope": SCOPE, "now": NOW}
    return package.unseal(text, identity(name), **{**standard, **said})


def refused(text: bytes, name: str = "bob-enc", **said: Any) -> str:  # noqa: ANN401 - as above
    with pytest.raises(OpenFailed) as failed:
        opened(text, name, **said)
    return failed.value.reason


PACKAGE: Final = sealed()


def rewrapped(change: Callable[[Members], None] | bytes, sender: str = "alice-sig") -> bytes:
    """Return a package as somebody would make who is free to write anything inside."""
    if isinstance(change, bytes):
        inner = change
    else:
        bob = identity("bob-enc").opener
        assert bob is not None
        registry = jwe.JWERegistry(
            algorithms=["RSA-OAEP-256", "A256GCM"], verify_all_recipients=False
        )
        plaintext = jwe.decrypt_json(json.loads(PACKAGE), bob, registry=registry).plaintext
        assert plaintext is not None
        claims = json.loads(base64url.decode(plaintext.split(b".")[1]))
        change(claims)
        inner = signature.sign(claims, a_private_jwk(sender), a_public_key(sender))
    made = jwe.GeneralJSONEncryption({"typ": "sy1-package", "enc": "A256GCM"}, inner)
    for name in ("alice-enc", "bob-enc"):
        key = a_public_key(name)
        header = {"alg": "RSA-OAEP-256", "kid": key.kid}
        made.add_recipient(header, RSAKey.import_key(dict(key.required)))
    written = jwe.encrypt_json(made, None, algorithms=["RSA-OAEP-256", "A256GCM"])
    return json.dumps(written).encode()


@pytest.mark.parametrize("name", ["alice-enc", "bob-enc"])
def test_every_recipient_opens_it(name: str) -> None:
    expected = OpenedPackage(KEY, SID, a_public_key("alice-sig").kid, NOW + 3600, SCOPE)

    assert opened(PACKAGE, name) == expected


def test_what_one_recipient_seals_the_other_opens_with_a_long_commitment() -> None:
    context = Context(SCOPE, field="content")

    token = decode(opened(PACKAGE, "alice-enc").session().seal(b"Grippe", context))

    assert (len(token.commitment or b""), token.key_id.kek_id) == (32, None)
    assert opened(PACKAGE).session().open(token, context, NOW) == b"Grippe"


def test_an_rsa_key_signs_and_stands_for_no_other_key() -> None:
    by_rsa = sealed(sender=identity("alice-ps"))
    key = a_public_key("alice-ps")

    assert opened(by_rsa, sender=key).issuer == key.kid
    assert refused(by_rsa) == "package-signature"  # for Ed25519
    assert refused(PACKAGE, sender=key) == "package-signature"
    # The same numbers as a key to wrap for are no key to sign with.
    enc = public_key.from_members({k: v for k, v in key.required if k != "alg"})
    assert enc.kid == key.kid
    assert refused(by_rsa, sender=enc) == "package-signature"


def resigned(alg: str, padding: Any, hashed: Any) -> bytes:  # noqa: ANN401 - of the library
    """Return a package whose JWS alice's RSA key signed in another way under the right header."""
    claims: Members = {}
    rewrapped(claims.update)
    claims["iss"] = a_public_key("alice-ps").kid
    made = signature.sign(claims, a_private_jwk("alice-ps"), a_public_key("alice-ps"))
    head, body, _ = made.split(b".")
    if alg != "PS256":
        header = {"typ": "sy1-package", "alg": alg, "kid": a_public_key("alice-ps").kid}
        head = base64url.encode(json.dumps(header, separators=(",", ":")).encode())
    tag = native_rsa(a_private_jwk("alice-ps")).sign(head + b"." + body, padding, hashed)
    return rewrapped(head + b"." + body + b"." + base64url.encode(tag))


@pytest.mark.parametrize(
    ("alg", "padding", "hashed"),
    [
        ("RS256", PKCS1v15(), SHA256()),
        ("PS256", PKCS1v15(), SHA256()),
        ("PS512", PSS(MGF1(SHA512()), 64), SHA512()),
        ("PS256", PSS(MGF1(SHA256()), 0), SHA256()),
        ("PS256", PSS(MGF1(SHA256()), 64), SHA256()),
        ("PS256", PSS(MGF1(SHA512()), 32), SHA256()),
    ],
)
def test_an_rsa_key_signs_by_ps256_and_in_no_other_way(
    alg: str,
    padding: Any,  # noqa: ANN401 - of the library
    hashed: Any,  # noqa: ANN401 - of the library
) -> None:
    text = resigned(alg, padding, hashed)

    assert refused(text, sender=a_public_key("alice-ps")) == "package-signature"


def test_a_mac_under_the_public_key_is_no_signature() -> None:
    """The oldest confusion of all: HS256 with what everybody knows."""
    key = a_public_key("alice-ps")
    header = {"typ": "sy1-package", "alg": "HS256", "kid": key.kid}
    head = base64url.encode(json.dumps(header, separators=(",", ":")).encode())
    for secret in (
        json.dumps(key.to_jwk()).encode(),
        base64url.decode(dict(key.required)["n"].encode()),
    ):
        text = head + b"." + base64url.encode(b"{}")
        tag = hmac.digest(secret, text, "sha256")
        forged = rewrapped(text + b"." + base64url.encode(tag))
        assert refused(forged, sender=key) == "package-signature"


def test_a_signing_key_opens_nothing() -> None:
    assert refused(PACKAGE, "bob-sig") == "package-not-for-us"


def test_an_outsider_does_not_open_it() -> None:
    assert refused(PACKAGE, "outsider-enc") == "package-not-for-us"


def test_an_entry_renamed_to_an_outsider_does_not_open() -> None:
    members = json.loads(PACKAGE)
    members["recipients"][1]["header"]["kid"] = a_public_key("outsider-enc").kid

    assert refused(json.dumps(members).encode(), "outsider-enc") == "package-bad-tag"


def test_a_recipient_cannot_pass_it_on_under_the_senders_name() -> None:
    """Bob has the signed JWS and wraps it for the outsider: it names its audience."""
    bob = identity("bob-enc").opener
    assert bob is not None
    registry = jwe.JWERegistry(algorithms=["RSA-OAEP-256", "A256GCM"], verify_all_recipients=False)
    inner = jwe.decrypt_json(json.loads(PACKAGE), bob, registry=registry).plaintext
    outsider = a_public_key("outsider-enc")
    made = jwe.GeneralJSONEncryption({"typ": "sy1-package", "enc": "A256GCM"}, inner)
    made.add_recipient(
        {"alg": "RSA-OAEP-256", "kid": outsider.kid},
        RSAKey.import_key(dict(outsider.required)),
    )
    passed_on = jwe.encrypt_json(made, None, algorithms=["RSA-OAEP-256", "A256GCM"])

    assert refused(json.dumps(passed_on).encode(), "outsider-enc") == "package-audience"


def test_a_recipient_that_was_taken_out_or_put_in_shows() -> None:
    fewer, more = json.loads(PACKAGE), json.loads(PACKAGE)
    del fewer["recipients"][0]
    other = json.loads(json.dumps(more["recipients"][0]))
    other["header"]["kid"] = a_public_key("outsider-enc").kid
    more["recipients"].append(other)

    for members in (fewer, more):
        assert refused(json.dumps(members).encode()) == "package-audience"


def test_another_senders_signature_is_refused() -> None:
    def leave(_: Members) -> None: ...

    assert refused(rewrapped(leave, "outsider-sig")) == "package-signature"
    assert refused(PACKAGE, sender=a_public_key("outsider-sig")) == "package-signature"


def test_a_stripped_signature_is_refused() -> None:
    claims = base64url.encode(b"{}")
    none = base64url.encode(b'{"alg":"none"}')
    head = base64url.encode(
        json.dumps(
            {"typ": "sy1-package", "alg": "EdDSA", "kid": a_public_key("alice-sig").kid},
            separators=(",", ":"),
        ).encode()
    )
    for inner in (
        b"{}",
        none + b"." + claims + b".",
        head + b"." + claims + b".",
        head + b"." + claims,
        head + b"." + claims + b"." + b"=",
        head + b"." + claims + b"." + base64url.encode(bytes(64)),
    ):
        assert refused(rewrapped(inner)) == "package-signature"


def test_a_signature_of_an_enc_key_is_none() -> None:
    assert refused(PACKAGE, sender=a_public_key("alice-enc")) == "package-signature"


@pytest.mark.parametrize(
    "scope", [Scope("clinic", "c2"), Scope("other", "c1"), Scope("clinic"), Scope(None, "c1")]
)
def test_another_conversation_or_tenant_is_refused(scope: Scope) -> None:
    assert refused(PACKAGE, scope=scope) == "package-conversation"


def test_a_conversation_that_is_not_bound_is_not_named() -> None:
    text = sealed(scope=Scope("clinic"))

    assert opened(text, scope=Scope("clinic")).key == KEY
    assert refused(text) == "package-conversation"


def test_an_expired_package_is_refused_with_a_minute_of_skew() -> None:
    assert opened(PACKAGE, now=NOW + 3660).key == KEY
    assert refused(PACKAGE, now=NOW + 3661) == "package-expired"
    assert refused(PACKAGE, now=NOW - 61) == "package-times"


YEAR = 366 * 86_400


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW + YEAR}, None),
        ({"exp": NOW + YEAR + 1}, "package-lives-too-long"),
        ({"exp": 10**12}, "package-lives-too-long"),
        ({"exp": 10**400}, "package-lives-too-long"),
        ({"iat": NOW + 60, "exp": NOW + YEAR + 60}, None),
        ({"iat": NOW - 1, "exp": NOW + YEAR}, "package-lives-too-long"),
        ({"iat": -(10**400)}, "package-lives-too-long"),
        ({"iat": NOW, "exp": NOW}, "package-lives-too-long"),
        ({"iat": NOW, "exp": NOW - 1}, "package-lives-too-long"),
    ],
)
def test_no_package_lives_longer_than_a_year(claims: dict[str, Any], reason: str | None) -> None:
    text = rewrapped(lambda members: members.update(claims))
    if reason is None:
        assert opened(text).key == KEY
    else:
        assert refused(text) == reason


def test_a_reader_may_take_shorter_lives_alone() -> None:
    assert opened(PACKAGE, longest=3600).key == KEY
    assert refused(PACKAGE, longest=3599) == "package-lives-too-long"


CLAIMS: list[tuple[str, object, str]] = [
    ("iss", "x", "package-issuer"),
    ("aud", None, "package-audience"),
    ("aud", [], "package-audience"),
    ("aud", [5, 6], "package-audience"),
    ("iat", "1", "package-times"),
    ("exp", True, "package-times"),
    ("exp", None, "package-times"),
    ("cid", 5, "package-conversation"),
    ("tenant", None, "package-conversation"),
    ("jwk", None, "package-key"),
    ("jwk", {"kty": "oct", "k": "AA", "kid": "AA"}, "package-key"),
    ("jwk", {"kty": "RSA", "k": "AA", "kid": "AA"}, "package-key"),
    ("jwk", {"kty": "oct", "k": "AA"}, "package-key"),
]


@pytest.mark.parametrize(("name", "value", "reason"), CLAIMS)
def test_a_claim_that_does_not_fit_is_refused(name: str, value: object, reason: str) -> None:
    assert refused(rewrapped(lambda claims: claims.update({name: value}))) == reason


SHAPES: list[Callable[[Members], object]] = [
    lambda m: m.pop("tag"),
    lambda m: m.update(unprotected={}),
    lambda m: m.update(aad="AA"),
    lambda m: m.update(protected=base64url.encode(b'{"enc":"A256GCM"}').decode()),
    lambda m: m.update(
        protected=base64url.encode(b'{"typ":"sy1-package","enc":"A256GCM","zip":"DEF"}').decode()
    ),
    lambda m: m.update(iv="AAAA"),
    lambda m: m.update(tag=m["tag"][:6]),
    lambda m: m.update(ciphertext=""),
    lambda m: m.update(recipients=[]),
    lambda m: m.update(recipients={}),
    lambda m: m.update(recipients=[5]),
    lambda m: m["recipients"].append(m["recipients"][0]),
    lambda m: m["recipients"].extend(m["recipients"] * 9),
    lambda m: m["recipients"][0].update(extra=1),
    lambda m: m["recipients"][0].update(header=5),
    lambda m: m["recipients"][0]["header"].update(alg="RSA1_5"),
    lambda m: m["recipients"][1]["header"].update(alg="RSA-OAEP"),
    lambda m: m["recipients"][0]["header"].update(alg="dir"),
    lambda m: m["recipients"][0]["header"].update(jku="https://example.com"),
    lambda m: m["recipients"][0]["header"].update(kid=5),
    lambda m: m["recipients"][0].update(encrypted_key="AAAA"),
]


@pytest.mark.parametrize("change", SHAPES)
def test_a_shape_that_is_not_ours_is_refused(change: Callable[[Members], object]) -> None:
    members = json.loads(PACKAGE)
    change(members)

    assert refused(json.dumps(members).encode()) in {
        "package-malformed",
        "package-header",
        "package-recipients",
    }


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"a":1,"a":2}', b" " * 70_000])
def test_what_is_no_package_is_refused(text: bytes) -> None:
    assert refused(text) == "package-malformed"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(PACKAGE) - 1), st.integers(1, 255))
def test_whatever_byte_is_changed_it_opens_as_it_was_or_not_at_all(place: int, by: int) -> None:
    changed = bytearray(PACKAGE)
    changed[place] ^= by
    try:
        found = opened(bytes(changed))
    except OpenFailed:
        return
    assert found == opened(PACKAGE)  # the byte was in the wrapped key of the other recipient


@settings(max_examples=10, deadline=None)
@given(
    st.binary(min_size=32, max_size=32), st.binary(min_size=12, max_size=12), st.text(max_size=9)
)
def test_what_is_sealed_is_what_is_opened(key: bytes, sid: bytes, conversation: str) -> None:
    scope = Scope("clinic", conversation.encode("utf-8", "replace").decode())
    text = package.seal(
        SessionKey(key),
        sid=sid,
        scope=scope,
        sender=identity("alice-sig"),
        recipients=[a_public_key("bob-enc")],
        now=NOW,
        ttl=60,
    )

    found = opened(text, scope=scope)

    assert (found.key.reveal(), found.sid) == (key, sid)


@pytest.mark.parametrize(
    "said",
    [
        {"recipients": []},
        {"recipients": [a_public_key("bob-enc")] * 2},
        {"recipients": [a_public_key("bob-sig")]},
        {"sender": identity("alice-enc")},
        {"ttl": 0},
        {"ttl": 400 * 86_400},
        {"sid": b"short"},
    ],
)
def test_a_package_that_makes_no_sense_is_not_made(said: dict[str, Any]) -> None:
    with pytest.raises(ParticipantError):
        sealed(**said)


def test_an_identity_does_not_print_its_key() -> None:
    assert a_private_jwk("bob-enc")["d"] not in repr(identity("bob-enc"))
    assert "0001020304" not in repr(opened(PACKAGE))


@pytest.mark.parametrize("name", ["alice-enc", "bob-enc"])
def test_a_frozen_package_still_opens(name: str) -> None:
    vector = json.loads(VECTORS.read_text())

    found = opened(json.dumps(vector["package"]).encode(), name, now=vector["now"])

    assert (found.key, found.sid, found.exp) == (KEY, SID, vector["exp"])


# --- recipients with X25519 -----------------------------------------------------------------------


def an_entry(package: bytes, name: str) -> dict[str, Any]:
    kid = a_public_key(name).kid
    members = json.loads(package)
    found: dict[str, Any] = next(
        one for one in members["recipients"] if one["header"]["kid"] == kid
    )
    return found


def for_both() -> bytes:
    return package.seal(
        SessionKey(bytes(32)),
        sid=bytes(12),
        scope=Scope("clinic", "c1"),
        sender=Identity(a_public_key("alice-sig"), a_private_jwk("alice-sig")),
        recipients=[a_public_key("bob-x"), a_public_key("bob-enc")],
        now=NOW,
        ttl=60,
    )


def unsealed(text: bytes, name: str) -> package.OpenedPackage:
    me = Identity(a_public_key(name), a_private_jwk(name))
    sender, scope = a_public_key("alice-sig"), Scope("clinic", "c1")
    return package.unseal(text, me, sender=sender, scope=scope, now=NOW)


def test_recipients_of_both_kinds_open_one_package() -> None:
    text = for_both()
    assert unsealed(text, "bob-x").key == unsealed(text, "bob-enc").key == SessionKey(bytes(32))
    assert an_entry(text, "bob-x")["header"]["alg"] == "ECDH-ES+A256KW"


@pytest.mark.parametrize(
    "change",
    [
        {"alg": "RSA-OAEP-256"},
        {"alg": "ECDH-ES"},
        {"epk": {"kty": "OKP", "crv": "X25519", "x": "A" * 43}},
        {"epk": {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}},
        {"epk": {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43}},
        {"epk": "x"},
        {"apu": "x"},
    ],
)
def test_an_agreement_that_is_not_ours_is_refused(change: dict[str, Any]) -> None:
    members = json.loads(for_both())
    members["recipients"][0]["header"] |= change
    with pytest.raises(OpenFailed):
        unsealed(json.dumps(members).encode(), "bob-x")


# --- recipients with X-Wing -----------------------------------------------------------------------

BESIDE: Final = sealed(recipients=[a_public_key(one) for one in ("bob-xw", "bob-enc", "bob-x")])


def with_entry(name: str, change: Members) -> bytes:
    members = json.loads(BESIDE)
    kid = a_public_key(name).kid
    (entry,) = (one for one in members["recipients"] if one["header"]["kid"] == kid)
    entry["header"] |= change.pop("header", {})
    entry |= change
    return json.dumps(members).encode()


def test_each_kind_of_key_opens_one_package_by_itself() -> None:
    found = [opened(BESIDE, one) for one in ("bob-xw", "bob-enc", "bob-x")]
    assert found == [found[0]] * 3
    assert found[0].key == KEY
    assert set(an_entry(BESIDE, "bob-xw")["header"]) == {"alg", "kid"}
    assert an_entry(BESIDE, "bob-xw")["header"]["alg"] == "x-sealyard-HPKE-X-Wing"
    assert refused(BESIDE, "outsider-xw") == "package-not-for-us"


def test_a_package_may_be_for_x_wing_keys_alone_and_names_no_other_alg() -> None:
    text = sealed(recipients=[a_public_key("bob-xw")])
    assert opened(text, "bob-xw").key == KEY
    assert [one["header"]["alg"] for one in json.loads(text)["recipients"]] == [
        "x-sealyard-HPKE-X-Wing"
    ]
    assert a_private_jwk("bob-xw")["priv"] not in repr(identity("bob-xw"))


def test_sixteen_x_wing_keys_fit_into_a_package_and_no_more() -> None:
    seeds = [bytes([number]) * 32 for number in range(17)]
    keys = [
        public_key.from_members(
            {
                "kty": "AKP",
                "alg": X_WING,
                "pub": base64url.encode(x_wing.public_bytes(seed)).decode(),
            }
        )
        for seed in seeds
    ]
    scope = Scope("t" * 200, "c" * 1000)
    text = sealed(recipients=[*keys[:15], a_public_key("bob-xw")], scope=scope)
    assert len(text) < MAX_PACKAGE_BYTES
    assert opened(text, "bob-xw", scope=scope).key == KEY
    with pytest.raises(ParticipantError, match="16"):
        sealed(recipients=keys)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"header": {"alg": "RSA-OAEP-256"}}, "package-recipients"),
        ({"header": {"alg": "HPKE-0"}}, "package-recipients"),
        ({"header": {"ek": "AA"}}, "package-recipients"),
        ({"encrypted_key": "AA"}, "package-recipients"),
        ({"encrypted_key": base64url.encode(bytes(1168)).decode()}, "package-bad-tag"),
        (
            {"encrypted_key": an_entry(BESIDE, "bob-x")["encrypted_key"]},
            "package-recipients",
        ),
        ({"header": {"kid": a_public_key("outsider-xw").kid}}, "package-not-for-us"),
    ],
)
def test_an_x_wing_entry_that_is_not_ours_is_refused(change: Members, reason: str) -> None:
    assert refused(with_entry("bob-xw", dict(change)), "bob-xw") == reason


def test_an_x_wing_entry_of_another_package_opens_nothing() -> None:
    other = sealed(recipients=[a_public_key(one) for one in ("bob-xw", "bob-enc", "bob-x")])
    entry = {"encrypted_key": an_entry(other, "bob-xw")["encrypted_key"]}
    assert refused(with_entry("bob-xw", entry), "bob-xw") == "package-bad-tag"


def test_an_x_wing_entry_renamed_to_an_outsider_does_not_open() -> None:
    kid = a_public_key("outsider-xw").kid
    assert refused(with_entry("bob-xw", {"header": {"kid": kid}}), "outsider-xw") == (
        "package-bad-tag"
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(BESIDE) - 1), st.integers(1, 255))
def test_by_x_wing_too_whatever_byte_is_changed_it_opens_as_it_was_or_not(
    place: int, by: int
) -> None:
    changed = bytearray(BESIDE)
    changed[place] ^= by
    try:
        found = opened(bytes(changed), "bob-xw")
    except OpenFailed:
        return
    assert found == opened(BESIDE, "bob-xw")  # the byte was in the entry of another key
