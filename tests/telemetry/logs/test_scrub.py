from __future__ import annotations

import base64
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, RSAKey

from proxy.telemetry.logs.scrub import HIDDEN, scrubbed
from proxy.telemetry.policy import SCRUBBED_CHARS

KEYS = st.binary(min_size=32, max_size=64)

SECRETS = [
    'password="hunter2-9"',
    "keys.passphrase: Correct-Horse-7",
    '{"client_secret": "s3cr3t-word"}',
    "api_key=abc123",
    "Authorization: Basic dXNlcjpwYXNz",
    "Authorization: Bearer abcdef",
    "cookie: sid=1; theme=dark; a=b",
    "Set-Cookie: sid=abc; HttpOnly",
    "redis://user:pass-1@store:6379/0",
    "rediss://:p4ss@store",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
    "sy1.AAABBBCCC111",
    "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY----- MC4CAQ",
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_hidden_by_name_and_by_shape(text: str) -> None:
    done = scrubbed(f"before {text} after")

    assert HIDDEN in done
    assert done.startswith("before ")
    for word in ("hunter2", "Horse", "s3cr3t", "abc", "dXNl", "pass-1", "p4ss", "MC4", "dark"):
        assert word not in done
    assert "AAABBB" not in done


@pytest.mark.parametrize(
    "text",
    [
        "message.handled",
        "keys.keyring.passphrase is missing",
        "keys.passphrase: must be a mapping, or a name",
        "token: unknown key, did you mean tokens?",
        "sealyard.yaml:12:5 listeners[0].rules[1].request action encript is unknown",
        "/etc/sealyard/tenants/north-2/keyring.jwe",
        "/var/pytest-of-root/pytest-12/test_a_message_of_a_rule_is_counted0/keyring.jwe",
        "POST /api/conversations/{id}/messages",
        "aiohttp/web_protocol.py:1234",
        "redis.exceptions.ConnectionError",
        "http://127.0.0.1:3000",
        "unix:/run/sealyard/backend.sock",
        "content-length-and-transfer-encoding",
        "0.0.0.0:15021",
        "2026-11-24T19:05:24.123Z",
        "Сообщения клиники: правило 1",
    ],
)
def test_what_operators_need_stays(text: str) -> None:
    assert scrubbed(text) == text


@given(KEYS)
def test_a_key_is_hidden_in_hex(key: bytes) -> None:
    if not (set(key.hex()) & set("abcdef") and set(key.hex()) & set("0123456789")):
        return
    assert scrubbed(f"bad key {key.hex()}.") == f"bad key {HIDDEN}."


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_random_keys_are_hidden_in_base64(encode: object) -> None:
    missed = 0
    for _ in range(10_000):
        text = encode(os.urandom(32)).decode()  # type: ignore[operator] # one of the two above
        missed += text.rstrip("=") in scrubbed(f"key {text}, bad")

    # No digit, or slashes all over: rare and possible.
    assert missed <= 30


def test_keys_are_hidden_as_bytes_are_printed() -> None:
    missed = 0
    for _ in range(1000):
        key = os.urandom(32)
        assert repr(key)[8:40] not in scrubbed(f"bad key {key!r}")
        text = key.decode("latin-1")
        missed += text[8:20] in scrubbed(f"bad key {text}")

    # One in some thousands holds no control character.
    assert missed <= 5


@pytest.mark.parametrize(
    "key", [OctKey.generate_key(256), RSAKey.generate_key(2048), ECKey.generate_key("P-256")]
)
@pytest.mark.parametrize("show", [json.dumps, repr])
def test_private_members_of_a_jwk_are_hidden(key: OctKey | RSAKey | ECKey, show: object) -> None:
    jwk = dict(key.as_dict(private=True))
    done = scrubbed(show(jwk)[:SCRUBBED_CHARS])  # type: ignore[operator] # one of the two above

    for member in {"k", "d", "p", "q", "dp", "dq", "qi"} & jwk.keys():
        assert str(jwk[member])[4:16] not in done


@given(st.text(max_size=200))
def test_any_text_can_be_scrubbed_twice(text: str) -> None:
    once = scrubbed(text)

    assert scrubbed(once) == once


@pytest.mark.parametrize(
    "text",
    ["a" * 100_000, "://" * 30_000, "eyJ" * 30_000, "-" * 100_000, "token" * 20_000, '"d"' * 30_000,
     "\\x00" * 25_000, "://a" * 25_000, "cookie " * 15_000, "A1b" * 30_000],
    ids=lambda text: text[:6],
)  # fmt: skip
def test_long_texts_take_no_time(text: str) -> None:
    assert len(scrubbed(text)) <= 2 * SCRUBBED_CHARS
