"""Tokens as RFC 8725 and RFC 7515 want them; each that is not so is refused with its reason."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random  # noqa: TID251 - it makes inputs, the same in each run
import time
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.core.errors import CallerUnverified
from proxy.core.http.header_names import names_in
from proxy.traffic.callers.callers import Callers
from proxy.traffic.http1.forwarding_headers import Peer
from proxy.traffic.http1.gate import RawRequest

from .issuers import (
    EVERY,
    ISSUER,
    KEYS,
    a_caller,
    claims,
    encoded,
    jwk_set,
    public,
    signed,
    verifying,
)


def a_request(*headers: tuple[bytes, bytes]) -> RawRequest:
    return RawRequest("GET", "/", (1, 1), headers, names_in(headers))


def with_token(token: str | bytes, scheme: bytes = b"Bearer") -> RawRequest:
    text = token.encode() if isinstance(token, str) else token
    return a_request((b"Authorization", scheme + b" " + text))


async def name_of(callers: Callers, raw: RawRequest, peer: Peer = Peer()) -> str | None:  # noqa: B008 - it is frozen
    """Return who a request is of."""
    raw = callers.earned(raw, peer)
    shown = callers.presented(raw, peer)
    verdict = callers.known(shown) or await callers.verified(shown, peer.address)
    return None if verdict.caller is None else verdict.caller.name


async def reason_of(callers: Callers, raw: RawRequest, peer: Peer = Peer()) -> str:  # noqa: B008 - as above
    """Return why a request is refused."""
    with pytest.raises(CallerUnverified) as caught:
        await name_of(callers, raw, peer)
    return caught.value.reason


@pytest.mark.parametrize("alg", EVERY)
async def test_a_token_of_each_algorithm_is_verified(alg: str) -> None:
    assert await name_of(verifying(), with_token(signed(alg=alg))) == "doctor"


def unsigned(header: dict[str, Any], said: dict[str, Any] | None = None) -> str:
    return (
        f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(said or claims()).encode())}."
    )


def confused() -> str:
    """Return a token whose HMAC key is the public key of the issuer (RFC 8725, section 2.1)."""
    key = KEYS["RS256"].as_pem(private=False)
    header = encoded(json.dumps({"alg": "HS256", "kid": "RS256"}).encode())
    message = f"{header}.{encoded(json.dumps(claims()).encode())}"
    return f"{message}.{encoded(hmac.new(key, message.encode(), hashlib.sha256).digest())}"


def padded(token: str) -> str:
    head, said, signature = token.split(".")
    return f"{head}.{said}.{signature}=="


def sloppy(token: str) -> str:
    """Return a token whose last character has bits that are not of its signature."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(base64.urlsafe_b64decode(token.rsplit(".", 1)[1] + "==")) % 3
    return token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]


NOW = int(time.time())
REFUSED: dict[str, tuple[str, str]] = {
    "no signature (alg none)": (unsigned({"alg": "none", "kid": "ES256"}), "not-a-signed-token"),
    "none with a signature": (unsigned({"alg": "none", "kid": "ES256"}) + "AA", "other-algorithm"),
    "None in other letters": (unsigned({"alg": "nOnE", "kid": "ES256"}) + "AA", "other-algorithm"),
    "an HMAC with the public key": (confused(), "other-algorithm"),
    "no alg": (unsigned({"kid": "ES256"}) + "AA", "other-algorithm"),
    "alg that is no text": (unsigned({"alg": ["ES256"], "kid": "ES256"}) + "AA", "other-algorithm"),
    "no kid": (signed(header={"kid": None}), "no-key-id"),
    "kid that is no text": (signed(header={"kid": 7}), "no-key-id"),
    "kid of a path": (signed(header={"kid": "../../dev/null"}), "unknown-key"),
    "kid of SQL": (signed(header={"kid": "' OR 1=1 --"}), "unknown-key"),
    "jku": (signed(header={"jku": "https://evil.example/jwks"}), "key-in-token"),
    "x5u": (signed(header={"x5u": "https://evil.example/x"}), "key-in-token"),
    "jwk": (signed(header={"jwk": public("ES256")}), "key-in-token"),
    "crit": (signed(header={"crit": ["exp"]}), "critical-extension"),
    "b64 false": (signed(header={"b64": False}), "critical-extension"),
    "a nested token": (signed(header={"cty": "JWT"}), "nested-token"),
    "a compressed one": (signed(header={"zip": "DEF"}), "nested-token"),
    "an encrypted one": (
        f"{unsigned({'alg': 'RSA-OAEP', 'enc': 'A256GCM'})}a.b",
        "not-a-signed-token",
    ),
    "a token for logging out": (signed(header={"typ": "logout+jwt"}), "other-type-of-token"),
    "a security event": (signed(header={"typ": "secevent+jwt"}), "other-type-of-token"),
    "a proof of DPoP": (signed(header={"typ": "dpop+jwt"}), "other-type-of-token"),
    "a key of another algorithm": (signed(header={"kid": "RS256"}), "key-of-other-use"),
    "a key of another curve": (signed(header={"kid": "ES384"}), "key-of-other-use"),
    "another issuer": (signed(claims(iss="https://evil.example")), "other-issuer"),
    "an issuer with a slash more": (signed(claims(iss=f"{ISSUER}/")), "other-issuer"),
    "an issuer in a list": (signed(claims(iss=[ISSUER])), "other-issuer"),
    "no issuer": (signed(claims(iss=None)), "other-issuer"),
    "another audience": (signed(claims(aud="billing")), "other-audience"),
    "another audience in a list": (signed(claims(aud=["billing"])), "other-audience"),
    "an audience as part of a text": (signed(claims(aud="messages,x")), "other-audience"),
    "no audience": (signed(claims(aud=None)), "other-audience"),
    "expired": (signed(claims(exp=NOW - 120)), "expired"),
    "no expiry": (signed(claims(exp=None)), "no-expiry"),
    "an expiry that is text": (signed(claims(exp=str(NOW + 60))), "no-expiry"),
    "an expiry that is true": (signed(claims(exp=True)), "no-expiry"),
    "an expiry without end": (signed('{"iss":"https://id.clinic","exp":1e999}'), "malformed-token"),
    "an expiry of many digits": (
        signed(json.dumps(claims()).replace('"exp": ', f'"exp": {"9" * 400}')),
        "no-expiry",
    ),
    "not yet valid": (signed(claims(nbf=NOW + 3600)), "not-yet-valid"),
    "not before some text": (signed(claims(nbf="tomorrow")), "not-yet-valid"),
    "bound to a key": (signed(claims(cnf={"jkt": "x"})), "sender-constrained"),
    "claims of nobody": (signed(claims(roles=["patient"])), "fits-no-caller"),
    "a claim twice": (
        signed(json.dumps(claims()).replace("{", '{"roles": "doctor", ', 1)),
        "malformed-token",
    ),
    "claims that are a list": (signed("[]"), "malformed-token"),
    "claims that are no JSON": (signed("{"), "malformed-token"),
    "half of a surrogate pair": (signed('{"iss": "\\ud800"}'), "malformed-token"),
    "claims with NaN": (signed('{"exp": NaN}'), "malformed-token"),
    "claims that are nested": (signed("[" * 60_000), "malformed-token"),
    "claims that are too long": (signed(claims(more="x" * 70_000)), "token-too-long"),
    "a header that is too long": (signed(header={"x": "y" * 5000}), "token-too-long"),
    "padding": (padded(signed()), "not-a-signed-token"),
    "bits that nothing needs": (sloppy(signed()), "not-a-signed-token"),
    "two parts": (signed().rpartition(".")[0], "not-a-signed-token"),
    "four parts": (f"{signed()}.AA", "not-a-signed-token"),
    "nothing": ("", "not-a-signed-token"),
    "a signature of zeros": (f"{signed().rpartition('.')[0]}.{encoded(bytes(64))}", "signature"),
    "a signature in DER": (f"{signed().rpartition('.')[0]}.{encoded(b'0' * 70)}", "signature"),
}


@pytest.mark.parametrize(("token", "reason"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_token_that_should_not_be_trusted_is_refused(token: str, reason: str) -> None:
    callers = verifying()

    assert await reason_of(callers, with_token(token)) == reason
    assert await reason_of(callers, with_token(token)) == reason  # no refusal is kept as a verdict


def forgeries(alg: str) -> Iterator[str]:
    """Give the kinds of Wycheproof's table of JSON Web Signatures, made with keys of our own.

    Its own tokens have no claims, so that each would be refused for another reason.
    """
    token = signed(alg=alg)
    head, said, signature = token.split(".")
    for at in range(3):  # a part that is another, empty, or not there
        parts: list[str | None] = [head, said, signature]
        begun = parts[at] or ""
        for other in (("B" if begun[0] == "A" else "A") + begun[1:], "", None):
            parts[at] = other
            yield ".".join(one for one in parts if one is not None)
    yield from (f".{said}.", said, "", f"{token}.", f"{token}.foo", f".{token}")
    yield json.dumps({"payload": said, "protected": head, "signature": signature})
    yield json.dumps({"payload": said, "signatures": [{"protected": head, "signature": signature}]})
    yield signed(alg=alg, header={"jwk": public(alg)})
    for each in EVERY:  # another primitive than the token says, with this key or with its own
        if each != alg:
            yield f"{head}.{said}.{signed(alg=each).rpartition('.')[2]}"
            yield signed(alg=each, header={"alg": alg})
            if KEYS[each] is not KEYS[alg]:
                yield signed(alg=each, header={"kid": alg})
    length = len(base64.urlsafe_b64decode(signature + "=="))
    for raw in (bytes(length), b"\xff" * length, bytes(length - 1) + b"\1", b"\0" + b"\1" * length):
        yield f"{head}.{said}.{encoded(raw)}"


def paddings(message: bytes) -> Iterator[bytes]:
    """Give blocks of PKCS #1 v1.5 for SHA-256 that differ a little from the one that holds."""
    prefix = bytes.fromhex("3031300d060960864801650304020105000420")
    digest = hashlib.sha256(message).digest()
    for tail in (
        prefix.replace(b"\x05\x00", b"") + digest,
        prefix.replace(b"\x02\x01", b"\x02\x02") + digest,
        prefix + digest[:-1],
        prefix + digest + b"\0",
        digest,
    ):
        yield b"\0\1" + b"\xff" * (253 - len(tail)) + b"\0" + tail
    whole = b"\0" + prefix + digest
    yield b"\0\2" + b"\xff" * (254 - len(whole)) + whole
    yield b"\1\1" + b"\xff" * (254 - len(whole)) + whole
    yield b"\0\1" + b"\xff" * 8 + whole + b"\0" * (246 - len(whole))  # Bleichenbacher, 2006
    yield b"\0\1" + b"\xff" * (253 - len(whole)) + b"\xfe" + whole


@pytest.mark.parametrize("alg", EVERY)
async def test_no_forgery_of_the_kinds_of_wycheproof_is_accepted(alg: str) -> None:
    callers = verifying()
    for token in forgeries(alg):
        with pytest.raises(CallerUnverified):
            callers._verdict(callers.presented(with_token(token), Peer()), set())


def test_no_other_padding_than_that_of_the_signature_is_accepted() -> None:
    numbers, callers = KEYS["RS256"].private_key.private_numbers(), verifying()
    message, _, real = signed(alg="RS256").rpartition(".")
    whole = pow(
        int.from_bytes(base64.urlsafe_b64decode(real + "=="), "big"),
        numbers.public_numbers.e,
        numbers.public_numbers.n,
    ).to_bytes(256, "big")
    made = list(paddings(message.encode()))
    assert whole not in made
    assert made[4][-32:] == whole[-32:]
    assert all(len(one) == len(whole) for one in made)
    for block in made:
        signature = pow(int.from_bytes(block, "big"), numbers.d, numbers.public_numbers.n)
        token = f"{message}.{encoded(signature.to_bytes(256, 'big'))}"
        with pytest.raises(CallerUnverified) as refused:
            callers._verdict(callers.presented(with_token(token), Peer()), set())
        assert refused.value.reason == "signature"


@pytest.mark.parametrize(
    "key",
    [
        public("ES256", use="enc"),
        public("ES256", key_ops=["sign"]),
        public("ES256", alg="ES384"),
        public("ES256", alg=["ES256"]),
        public("ES256", kty=["EC"]),
        KEYS["ES256"].as_dict(private=True) | {"kid": "ES256"},
        {"kty": "oct", "k": "AAAA", "kid": "ES256"},
        public("RS256", kid="ES256"),
        {"kty": "RSA", "n": encoded(bytes([201]) * 128), "e": "AQAB", "kid": "ES256"},
        {"kty": "RSA", "n": encoded(bytes(128) + bytes([201]) * 128), "e": "AQAB", "kid": "ES256"},
        public("RS256", kid="ES256", e="AQ"),
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "ES256"},
        {"kty": "EC", "kid": "ES256"},
        "text",
    ],
    ids=[
        "for encryption",
        "for signing",
        "of another algorithm",
        "of a list of algorithms",
        "of a list of types",
        "private",
        "secret",
        "of RSA",
        "too short",
        "too short behind zeros",
        "of the exponent 1",
        "not on the curve",
        "without members",
        "no object",
    ],
)
async def test_a_key_of_another_use_verifies_nothing(key: Any) -> None:  # noqa: ANN401 - some are no JWK
    callers = verifying(keys=jwk_set(key, public("RS256")))

    reason = await reason_of(callers, with_token(signed()))

    assert reason in {"unknown-key", "key-of-other-use"}


async def test_an_id_of_two_keys_means_neither() -> None:
    callers = verifying(keys=jwk_set(public("ES256"), public("ES384", kid="ES256")))

    assert await reason_of(callers, with_token(signed())) == "unknown-key"


async def test_clocks_may_differ_by_a_minute() -> None:
    for said in (claims(exp=int(time.time()) - 30), claims(nbf=int(time.time()) + 30)):
        assert await name_of(verifying(), with_token(signed(said))) == "doctor"


async def test_an_audience_may_be_one_of_a_list_and_a_claim_the_text_itself() -> None:
    said = claims(aud=["billing", "messages"], roles="doctor")

    assert await name_of(verifying(), with_token(signed(said))) == "doctor"


async def test_the_first_caller_that_fits_counts() -> None:
    callers = verifying(a_caller(), a_caller("user", wanted=()))

    assert await name_of(callers, with_token(signed())) == "doctor"
    assert await name_of(callers, with_token(signed(claims(roles=[])))) == "user"


async def test_a_verdict_ends_with_its_token() -> None:
    now = time.time()
    callers = verifying(clock=lambda: now)
    raw = with_token(signed(claims(exp=int(now) + 10)))
    assert await name_of(callers, raw) == "doctor"

    now += 71

    assert await reason_of(callers, raw) == "expired"


async def test_a_token_has_one_verdict_however_its_line_is_spelled() -> None:
    """Else one client could push those of all others out."""
    callers, token = verifying(), signed().encode()
    await name_of(callers, with_token(token))
    for line in (b"bearer " + token, b"BEARER  \t" + token, b"Bearer " + token + b" "):
        shown = callers.presented(a_request((b"Authorization", line)), Peer())
        assert callers.known(shown) is not None
    for line in (
        b"Bearer " + token.lower(),
        b"Bearer " + token + b".",
        b"Bearer",
        b"Basic " + token,
    ):
        shown = callers.presented(a_request((b"Authorization", line)), Peer())
        assert callers.known(shown) is None


async def test_other_schemes_are_nobody_and_a_token_with_a_proof_is_refused() -> None:
    for scheme in (b"Basic", b"Negotiate"):
        assert await name_of(verifying(), with_token("eDp5", scheme)) is None
    for scheme in (b"bearer", b"BEARER"):
        assert await name_of(verifying(), with_token(signed(), scheme)) == "doctor"
    assert await reason_of(verifying(), with_token(signed(), b"DPoP")) == "sender-constrained"


async def test_two_credentials_in_headers_are_refused() -> None:
    line = (b"Authorization", b"Bearer " + signed().encode())

    for lines in ((line, line), (line, (b"AUTHORIZATION", b"Basic eDp5"))):
        assert await reason_of(verifying(), a_request(*lines)) == "two-credentials"


@pytest.mark.parametrize("mutants", [10_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
async def test_no_mutated_token_is_accepted(mutants: int) -> None:
    """Bytes are changed, added, removed and moved, in tokens of every algorithm."""
    source = random.Random(20261201)  # noqa: S311 - it makes inputs for a test
    whole = [signed(alg=alg).encode() for alg in ("ES256", "EdDSA", "RS256")]
    callers = verifying()
    accepted = []
    for _ in range(mutants):
        token = bytearray(source.choice(whole))
        at = source.randrange(len(token))
        match source.randrange(5):
            case 0:
                token[at] ^= 1 << source.randrange(7)
            case 1:
                token.insert(at, source.choice(b"AZaz09-_.= ,"))
            case 2:
                del token[at]
            case 3:
                other = source.randrange(len(token))
                token[at], token[other] = token[other], token[at]
            case _:
                token[at:at] = token[at : at + source.randrange(1, 9)]
        if token.strip() in whole:
            continue
        try:
            found = callers._verdict(callers.presented(with_token(bytes(token)), Peer()), set())
        except CallerUnverified:
            continue
        accepted.append((bytes(token), found))

    assert [one for one in accepted if one[1][0] is not None] == []
