"""What `doctor` and the start find out about a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.config.settings import (
    KeySettings,
    RedisSentinels,
    RedisSettings,
    RootSettings,
    SecretReference,
    SessionKeys,
    TcpAddress,
)
from proxy.config.settings.keys import KeyringSettings
from proxy.config.settings.store import StoreSettings
from proxy.core.errors import UnfitEnvironment
from proxy.keys.stores import check_store, open_store
from proxy.keys.stores.redis.capabilities import astray
from proxy.keys.stores.redis.client import terms
from proxy.keys.stores.redis.connection import connected
from proxy.process.fitness import INTERCEPTION_VARIABLE, Finding
from proxy.wiring.policy import STORE_START_SECONDS
from proxy.wiring.sidecar import session_facts
from tests.scenarios.rig import backend
from tests.servers import free_port

from .everything import RIGHTS
from .pods import Place
from .server import Server, needs_redis
from .test_connections import tls
from .topologies import Clustered, Watched

pytestmark = needs_redis

__all__ = ["tls"]
ENVIRON = {"PASSWORD": "correct", "WRONG": "wrong"}
ROOT = RootSettings("file", SecretReference(env="X"))
PATIENCE = 20.0
"""Seconds for an answer beside other tests; how long a start waits has a test of its own."""


def the_keys(settings: RedisSettings, mode: str = "durable") -> KeySettings:
    return KeySettings(
        KeyringSettings(Path("keyring"), (ROOT,)),
        StoreSettings("redis", settings),
        SessionKeys(mode),  # type: ignore[arg-type]  # one of the modes
    )


async def found(
    settings: RedisSettings, mode: str = "durable", clock: Callable[[], float] = time.time
) -> dict[str, Finding]:
    findings = await check_store(the_keys(settings, mode), ENVIRON, clock=clock, seconds=PATIENCE)
    return {one.check.removeprefix("redis "): one for one in findings}


def told(findings: Mapping[str, Finding]) -> dict[str, str]:
    return {check: one.verdict for check, one in findings.items() if one.verdict != "ok"}


def a_user(server: Server, *more: str) -> RedisSettings:
    server.command("ACL", "SETUSER", "sealyard", "on", ">correct", *RIGHTS.split(), *more)
    return replace(server.settings, user="sealyard", password=SecretReference(env="PASSWORD"))


class Reported:
    def __init__(self) -> None:
        self.events: list[dict[str, object]] = []

    def report(self, event: str, **fields: object) -> None:
        self.events.append({"event": event, **fields})


async def started(
    settings: RedisSettings,
    mode: str = "durable",
    clock: Callable[[], float] = time.time,
    seconds: float = PATIENCE,
) -> list[dict[str, object]]:
    """Return what a start reports; raise what keeps it from starting."""
    reported = Reported()
    keys = the_keys(settings, mode)
    await session_facts.require(keys, reported, ENVIRON, clock=clock, seconds=seconds)
    return reported.events


async def test_a_redis_of_this_machine_passes_every_check(server: Server) -> None:
    findings = await found(server.settings)
    assert told(findings) == {}
    assert list(findings) == ["version", "TLS", "rights", "writes", "eviction", "clock"]
    assert await started(server.settings, "ephemeral") == []


@pytest.mark.parametrize(
    ("host", "tls", "fits"),
    [
        ("redis", False, False),
        ("localhost", False, False),
        ("redis", True, True),
        ("10.0.0.1", False, True),
        ("fd00::1", False, True),
    ],
)
async def test_in_a_pod_a_name_without_tls_is_whatever_its_containers_say(
    host: str, *, tls: bool, fits: bool
) -> None:
    settings = RedisSettings(TcpAddress(host, 1), tls=tls)
    sentinels = RedisSettings(RedisSentinels("s", (TcpAddress(host, 1),), None, None), tls=tls)
    inside = {INTERCEPTION_VARIABLE: "mesh"}
    for one in (settings, sentinels):
        assert [each.verdict for each in astray(one, inside)] == ([] if fits else ["failed"])
        assert list(astray(one, {})) == []
    if not fits:
        with pytest.raises(UnfitEnvironment) as refused:
            await session_facts.require(
                the_keys(settings), Reported(), inside, clock=time.time, seconds=1
            )
        assert "write `rediss://`" in refused.value.detail


async def test_nor_is_a_name_taken_that_a_sentinel_or_a_cluster_gives(server: Server) -> None:
    for host, inside, taken in (
        ("127.0.0.1", True, True),
        ("localhost", False, True),
        ("localhost", True, False),
    ):
        how = terms(server.settings, {INTERCEPTION_VARIABLE: "mesh"} if inside else {})
        place = TcpAddress(host, server.port)
        with contextlib.nullcontext() if taken else pytest.raises(socket.gaierror):
            (await connected(place, how)).close()


async def test_a_user_with_the_documented_rights_passes_and_the_policy_is_not_its_to_ask(
    server: Server,
) -> None:
    findings = await found(a_user(server))
    assert told(findings) == {"eviction": "unknown"}
    assert "`sealyard`" in findings["rights"].text
    assert await started(a_user(server)) == []


@pytest.mark.parametrize("name", ["eval", "evalsha", "set", "get", "pttl", "time"])
async def test_a_missing_right_is_named_and_refused(server: Server, name: str) -> None:
    settings = a_user(server, f"-{name}")
    rights = (await found(settings))["rights"]
    assert (rights.verdict, f"+{name}" in rights.text) == ("failed", True)
    with pytest.raises(UnfitEnvironment, match="unfit-store"):
        await started(settings)
    server.command(*grant(rights.text))
    assert told(await found(settings)) == {"eviction": "unknown"}


def grant(text: str) -> list[str]:
    """Return the command that the text ends with."""
    return text[text.index("ACL SETUSER") :].split()


@pytest.mark.parametrize("name", ["publish", "subscribe"])
async def test_a_right_to_be_heard_is_only_missed(server: Server, name: str) -> None:
    settings = a_user(server, f"-{name}")
    rights = (await found(settings))["rights"]
    assert (rights.verdict, f"+{name}" in rights.text) == ("warning", True)
    (event,) = await started(settings)
    assert (event["event"], event["check"]) == ("store.warning", "redis rights")
    server.command(*grant(rights.text))
    assert await started(settings) == []


async def test_other_names_and_channels_than_those_granted_are_missed(server: Server) -> None:
    settings = replace(a_user(server), prefix="other")
    rights = (await found(settings))["rights"]
    assert (rights.verdict, "~other:* &other:*" in rights.text) == ("failed", True)
    server.command(*grant(rights.text))
    assert told(await found(settings)) == {"eviction": "unknown"}


async def test_a_wrong_password_is_refused_at_the_start(server: Server) -> None:
    settings = replace(a_user(server), password=SecretReference(env="WRONG"))
    (finding,) = (await found(settings)).values()
    assert (finding.verdict, finding.passing) == ("failed", False)
    assert "refuses the user `sealyard`" in finding.text
    assert "wrong" not in finding.text
    with pytest.raises(UnfitEnvironment):
        await started(settings)


async def test_a_password_that_is_asked_for_and_not_given_is_refused(server: Server) -> None:
    server.command("CONFIG", "SET", "requirepass", "correct")
    (finding,) = (await found(server.settings)).values()
    assert (finding.verdict, finding.passing) == ("failed", False)
    assert "user `default`" in finding.text


async def test_a_database_that_is_not_there_or_not_allowed_is_refused(server: Server) -> None:
    user = a_user(server)
    assert told(await found(replace(user, db=3))) == {"eviction": "unknown"}
    missing = replace(user, db=99)
    server.command("ACL", "SETUSER", "sealyard", "-select")
    for settings in (missing, replace(user, db=3)):
        (finding,) = (await found(settings)).values()
        assert (finding.verdict, finding.passing) == ("failed", False)
        assert f"no database {settings.db}" in finding.text
    server.command(*grant(finding.text))
    assert told(await found(replace(user, db=3))) == {"eviction": "unknown"}
    assert (await found(missing))["redis"].verdict == "failed"


@pytest.mark.timing
async def test_a_redis_that_is_not_there_keeps_nobody_from_starting(server: Server) -> None:
    nowhere = RedisSettings(TcpAddress("127.0.0.1", free_port()))
    (finding,) = (await found(nowhere)).values()
    assert (finding.verdict, finding.passing) == ("failed", True)
    (event,) = await started(nowhere)
    assert "does not answer" in str(event["warning"])
    server.freeze()
    began = time.monotonic()
    assert len(await started(server.settings, seconds=STORE_START_SECONDS)) == 1
    assert time.monotonic() - began < 2
    server.thaw()


async def test_eviction_that_loses_records_is_told(server: Server) -> None:
    server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    (event,) = await started(server.settings)
    assert "CONFIG SET maxmemory-policy noeviction" in str(event["warning"])
    server.command("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    assert await started(server.settings) == []
    assert "lost for good" in str((await started(server.settings, "ephemeral"))[0]["warning"])


async def test_a_full_redis_and_a_replica_are_told_and_may_pass(
    server: Server, tmp_path: Path
) -> None:
    server.command("CONFIG", "SET", "maxmemory", "1")
    findings = await found(server.settings)
    assert told(findings) == {"writes": "failed"}
    assert "maxmemory" in findings["writes"].text
    assert len(await started(server.settings)) == 1
    server.command("CONFIG", "SET", "maxmemory", "0")
    server.command("REPLICAOF", "127.0.0.1", str(free_port()))
    findings = await found(server.settings)
    assert "replica" in findings["writes"].text
    assert findings["writes"].passing


async def test_a_clock_that_is_off_is_told_and_stops_ephemeral_sessions(server: Server) -> None:
    def two_minutes_behind() -> float:
        return time.time() - 120

    clock = (await found(server.settings, clock=two_minutes_behind))["clock"]
    (ahead,) = re.findall(r"([0-9.]+) s ahead", clock.text)
    assert (clock.verdict, abs(float(ahead) - 120) < 2) == ("warning", True)
    assert len(await started(server.settings, clock=two_minutes_behind)) == 1
    with pytest.raises(UnfitEnvironment):
        await started(server.settings, "ephemeral", clock=two_minutes_behind)


async def test_tls_that_does_not_verify_is_refused_at_the_start(
    tls: tuple[Server, RedisSettings], tmp_path: Path
) -> None:
    _, right = tls
    assert told(await found(right)) == {}
    assert isinstance(right.address, TcpAddress)
    wrong_name = replace(right, address=TcpAddress("127.0.0.1", right.address.port))
    (finding,) = (await found(wrong_name)).values()
    assert (finding.verdict, finding.passing) == ("failed", False), finding
    assert "certificate does not verify" in finding.text
    with pytest.raises(UnfitEnvironment):
        await started(wrong_name)
    (finding,) = (await found(replace(right, cert=None, key=None))).values()
    # Chance decides whether the alert of the server is read before the end of the connection.
    said = "set `cert` and `key`" if finding.passing else "TLS"
    assert finding.verdict == "failed"
    assert said in finding.text
    plain = replace(right, tls=False, ca=None, cert=None, key=None)
    assert (await found(plain))["redis"].verdict == "failed"
    missing = replace(right, ca=tmp_path / "none.pem")
    assert "none.pem" in (await found(missing))["redis"].text


async def test_the_trial_leaves_nothing_and_alarms_nobody(server: Server) -> None:
    heard: list[str | None] = []
    store = open_store("redis", options=server.settings)
    await store.open(heard.append)
    await asyncio.sleep(0.2)
    heard.clear()
    await found(server.settings)
    await asyncio.sleep(1.2)
    assert (heard, server.command("DBSIZE")) == ([], b":0\r\n")
    await store.close()


async def test_stores_of_one_process_or_machine_have_less_to_ask(tmp_path: Path) -> None:
    async def verdicts(address: str) -> list[str]:
        keys = KeySettings(KeyringSettings(Path("keyring"), (ROOT,)), StoreSettings(address))
        findings = await check_store(keys, {}, clock=time.time, seconds=1.0)
        return [one.verdict for one in findings]

    assert await verdicts("memory") == []
    assert await verdicts(f"sqlite:{tmp_path}/keys.db") == ["ok"]
    assert await verdicts(f"sqlite:{tmp_path}/none/keys.db") == ["failed"]


async def test_doctor_and_serve_say_it_and_end_with_3(server: Server, tmp_path: Path) -> None:
    a_user(server, "-set")
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text("correct\n")
    store = (
        f"{{url: redis://127.0.0.1:{server.port}, user: sealyard,"
        f" password: {{file: {tmp_path}/password}}}}"
    )
    async with backend() as behind:
        place = Place(tmp_path / "place", behind.port, store).write()
        findings = await asyncio.to_thread(place.sealyard, "doctor", status=3)
        (rights,) = [one for one in findings if one["check"] == "redis rights"]
        assert (rights["verdict"], "+set" in rights["text"]) == ("failed", True)
        for options in ((), ("--workers", "2")):
            with place.serving(*options) as served:
                assert await served.ended() == 3
                assert "+set" in served.log.read_text()
                assert not [event for event in served.events if event["event"] == "server.ready"]


async def test_the_master_of_sentinels_and_a_cluster_pass_every_check(
    unharmed: Watched, clustered: Clustered
) -> None:
    for settings, nodes in ((unharmed.settings, 1), (clustered.settings, 3)):
        findings = await found(settings)
        assert (told(findings), len(findings)) == ({}, 6), nodes
    for node in clustered.nodes:
        node.command("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    assert told(await found(clustered.settings)) == {"eviction": "warning"}
