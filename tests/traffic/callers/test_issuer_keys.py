"""Keys of issuers: from their address alone, kept while it is away, never from elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from proxy.config.settings.callers import CallerKeys
from proxy.core.errors import (
    CallerKeysAway,
    CallersThrottled,
    CallerUnverified,
    KeyringError,
    UnfitEnvironment,
)
from proxy.traffic.callers import issuer_keys
from proxy.traffic.callers.issuer_keys import Fetched, IssuerKeys, admits, fetching, of_file
from proxy.traffic.policy import KEYS_AGAIN_SECONDS, KEYS_KEPT_SECONDS

from .issuers import JWKS, jwk_set, public, signed, verifying
from .test_tokens import name_of, reason_of, with_token


@dataclass
class Issuer:
    """What fetches the keys of an issuer, as it is at the moment; it counts."""

    keys: list[str] = field(default_factory=lambda: ["ES256"])
    away: bool = False
    asked: int = 0
    now: float = 1000.0
    told: list[str] = field(default_factory=list)
    source: IssuerKeys = field(init=False)

    def __post_init__(self) -> None:
        self.source = IssuerKeys(self.fetch, None, lambda: self.now, self.told.append)

    def fetch(self) -> Fetched:
        self.asked += 1
        if self.away:
            reason = "id.clinic: no answer in time"
            raise KeyringError(reason)
        return Fetched(jwk_set(*(public(one) for one in self.keys)), 300.0)


async def test_keys_are_fetched_once_for_all_that_wait() -> None:
    issuer = Issuer()
    callers = verifying(sources={JWKS: issuer.source})

    names = await asyncio.gather(*(name_of(callers, with_token(signed())) for _ in range(50)))

    assert names == ["doctor"] * 50
    assert issuer.asked == 1
    issuer.source.close()


async def test_an_unknown_key_asks_once_in_ten_seconds() -> None:
    issuer = Issuer()
    callers = verifying(sources={JWKS: issuer.source})
    await name_of(callers, with_token(signed()))
    new = with_token(signed(alg="ES384"))
    issuer.keys.append("ES384")

    for _ in range(20):
        assert await reason_of(callers, new) == "unknown-key"
    assert issuer.asked == 1
    issuer.now += KEYS_AGAIN_SECONDS
    assert await name_of(callers, new) == "doctor"
    assert issuer.asked == 2
    issuer.source.close()


async def test_a_removed_key_ends_its_verdicts_and_so_does_another_of_its_id() -> None:
    for after in ([], ["ES384"]):
        issuer = Issuer(["ES256", "RS256"])
        callers = verifying(sources={JWKS: issuer.source})
        raw = with_token(signed())
        assert await name_of(callers, raw) == "doctor"

        keys = jwk_set(public("RS256"), *(public(one, kid="ES256") for one in after))
        issuer.source._take(Fetched(keys, 300.0))

        assert await reason_of(callers, raw) in {"unknown-key", "key-of-other-use"}
        issuer.source.close()


async def test_the_last_good_keys_are_used_for_a_day_and_then_it_is_503() -> None:
    issuer = Issuer()
    callers = verifying(sources={JWKS: issuer.source})
    await name_of(callers, with_token(signed()))
    issuer.away = True
    issuer.now += KEYS_KEPT_SECONDS - 1
    await issuer.source._renew(issuer.fetch)
    await issuer.source._renew(issuer.fetch)
    assert await name_of(callers, with_token(signed(header={"typ": "at+jwt"}))) == "doctor"

    issuer.now += 1
    with pytest.raises(CallerKeysAway):
        await name_of(callers, with_token(signed(alg="RS256")))
    with pytest.raises(CallerKeysAway):
        await name_of(callers, with_token(signed(header={"typ": "JWT", "x": 1})))

    assert issuer.told == ["id.clinic: no answer in time"]  # once, however long it lasts
    issuer.source.close()


async def test_keys_are_fetched_again_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = Issuer()
    monkeypatch.setattr(issuer_keys, "KEYS_AGAIN_SECONDS", 0.01)
    issuer.away = True
    with pytest.raises(CallerKeysAway):
        await issuer.source.asked("ES256")
    issuer.away = False

    async with asyncio.timeout(20):
        while issuer.source.known("ES256") is None:  # noqa: ASYNC110 - a timer sets no event
            await asyncio.sleep(0.01)
    issuer.source.close()


def test_keys_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [public("ES256"), {"kty": "x"}]}))
    assert "ES256" in of_file(path)
    for text in ("{", "[]", '{"keys": []}', '{"keys": 1}', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(UnfitEnvironment, match="caller-keys"):
            of_file(path)
    with pytest.raises(UnfitEnvironment, match="caller-keys"):
        of_file(tmp_path / "none")
    with pytest.raises(UnfitEnvironment, match="caller-keys"):
        fetching(CallerKeys("https://localhost/jwks", tmp_path / "none"))


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1%eth0", "fd00:ec2::254", "::ffff:169.254.169.254", "168.63.129.16"],
)
def test_the_metadata_of_clouds_is_never_asked(address: str) -> None:
    assert not admits(address)
    assert admits("10.0.0.1")
    assert admits("fd00::1")


# --- over TLS -----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def serving(answer: bytes, authority: trustme.CA) -> AsyncIterator[str]:
    """Yield the address of a server with one answer to everything."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(tls)

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answered, "localhost", 0, ssl=tls)
    async with server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}/jwks"


def an_answer(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    head = (b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *lines)
    return b"\r\n".join([*head, b"", body])


GOOD = json.dumps({"keys": [public("ES256")]}).encode()


@pytest.mark.parametrize(
    ("lines", "fresh"),
    [
        ((), 300),
        ((b"Cache-Control: public, max-age=3600",), 3600),
        ((b"Cache-Control: max-age=0",), 60),
        ((b"Cache-Control: max-age=99999999",), 86_400),
        ((b"Cache-Control: no-store",), 300),
    ],
)
async def test_an_issuer_says_how_long_its_keys_hold(
    lines: tuple[bytes, ...], fresh: float, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with serving(an_answer(GOOD, *lines), authority) as url:
        fetched = await asyncio.to_thread(fetching(CallerKeys(url, tmp_path / "ca.pem")))

    assert "ES256" in fetched.keys
    assert fetched.fresh == fresh


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (an_answer(b"", b"Location: https://evil.example/", status=b"302 Found"), "status 302"),
        (an_answer(b"", status=b"500 Oops"), "status 500"),
        (an_answer(b"<html>"), "not a JWK Set"),
        (an_answer(b'{"keys":[]}'), "no public key"),
        (an_answer(b" " * 70_000), "the answer has more than"),
    ],
)
async def test_what_is_no_set_of_keys_is_not_taken(
    answer: bytes, reason: str, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with serving(answer, authority) as url:
        with pytest.raises(KeyringError, match=reason):
            await asyncio.to_thread(fetching(CallerKeys(url, tmp_path / "ca.pem")))


async def test_a_server_that_is_not_trusted_gives_no_keys(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    async with serving(an_answer(GOOD), trustme.CA()) as url:
        with pytest.raises(KeyringError, match="not trusted"):
            await asyncio.to_thread(fetching(CallerKeys(url, tmp_path / "ca.pem")))


# --- too many that do not hold --------------------------------------------------------------------


async def test_a_client_with_too_many_bad_credentials_is_429_and_known_ones_are_served() -> None:
    callers = verifying()
    good = with_token(signed())
    assert await name_of(callers, good) == "doctor"
    reasons = []
    for at in range(60):
        try:
            await name_of(callers, with_token(signed(header={"kid": f"x{at}"})))
        except (CallerUnverified, CallersThrottled) as error:
            reasons.append(error.reason)

    assert reasons[:40] == ["unknown-key"] * 40
    assert reasons[-1] == "of-this-client"
    assert await name_of(callers, good) == "doctor"
