"""What is made of what a Redis says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from proxy.config.settings import RedisCluster, RedisSettings, TcpAddress, UnixAddress
from proxy.keys.stores.redis.capabilities import NEEDED, WANTED, Mode, RedisFacts, judged

LOCAL = RedisSettings(TcpAddress("127.0.0.1", 6379))
WELL = RedisFacts(
    ("8.0.2",), ("master",), ("noeviction",), 12, dict.fromkeys((*NEEDED, *WANTED), "")
)


def verdicts(
    facts: RedisFacts, settings: RedisSettings = LOCAL, mode: Mode = "durable"
) -> dict[str, str]:
    return {
        one.check.removeprefix("redis "): one.verdict + " passing" * one.passing
        for one in judged(facts, settings, mode)
        if one.verdict != "ok"
    }


def text(facts: RedisFacts, check: str, mode: Mode = "durable") -> str:
    return next(one.text for one in judged(facts, LOCAL, mode) if one.check == f"redis {check}")


def test_a_redis_as_it_should_be_passes_for_both_kinds() -> None:
    assert verdicts(WELL) == verdicts(WELL, mode="ephemeral") == {}
    assert len(list(judged(WELL, LOCAL, "durable"))) == 6


def test_what_is_not_said_is_unknown_and_stops_nothing() -> None:
    silent = RedisFacts(said=WELL.said)
    assert verdicts(silent) == {"version": "unknown", "eviction": "unknown"}


@pytest.mark.parametrize("version", ["5.0.14", "5 or older", "2.8", "what"])
def test_an_old_redis_cannot_be_used(version: str) -> None:
    assert verdicts(replace(WELL, versions=("8.0.2", version))) == {"version": "failed"}


def test_a_password_across_the_network_wants_tls() -> None:
    far = TcpAddress("redis.example", 6379)
    for address in (far, TcpAddress("10.0.0.1", 1), RedisCluster((LOCAL.address, far))):  # type: ignore[arg-type]  # a TcpAddress
        assert verdicts(WELL, RedisSettings(address)) == {"TLS": "warning"}
        assert verdicts(WELL, RedisSettings(address, tls=True)) == {}
    for near in (UnixAddress(Path("/r")), TcpAddress("localhost", 1), TcpAddress("::1", 1)):
        assert verdicts(WELL, RedisSettings(near)) == {}


@pytest.mark.parametrize("name", NEEDED)
def test_without_a_needed_right_nothing_works(name: str) -> None:
    facts = replace(WELL, said={**WELL.said, name: "NOPERM"})
    assert verdicts(facts) == {"rights": "failed"}
    assert text(facts, "rights").endswith(
        f"ACL SETUSER default ~sealyard:* &sealyard:* +{name.lower()}"
    )


@pytest.mark.parametrize("name", WANTED)
def test_without_a_wanted_right_revocations_are_late(name: str) -> None:
    assert verdicts(replace(WELL, said={**WELL.said, name: "NOPERM"})) == {"rights": "warning"}


@pytest.mark.parametrize("code", ["READONLY", "OOM", "MISCONF", "NOREPLICAS"])
def test_a_redis_that_takes_no_writes_may_take_them_again(code: str) -> None:
    assert verdicts(replace(WELL, said={**WELL.said, "SET": code})) == {"writes": "failed passing"}


def test_a_replica_among_the_nodes_is_told() -> None:
    assert verdicts(replace(WELL, roles=("master", "replica"))) == {"writes": "warning"}


@pytest.mark.parametrize(
    ("policy", "durable", "ephemeral"),
    [
        ("allkeys-lru", {"eviction": "warning"}, {"eviction": "warning"}),
        ("volatile-ttl", {}, {"eviction": "warning"}),
        ("noeviction", {}, {}),
    ],
)
def test_eviction_loses_what_cannot_be_made_anew(
    policy: str, durable: dict[str, str], ephemeral: dict[str, str]
) -> None:
    facts = replace(WELL, policies=("noeviction", policy))
    assert (verdicts(facts), verdicts(facts, mode="ephemeral")) == (durable, ephemeral)


def test_a_clock_that_is_off_is_told_and_stops_ephemeral_sessions() -> None:
    for skew in (95_000, -95_000):
        facts = replace(WELL, skew_ms=skew)
        assert verdicts(facts) == {"clock": "warning"}
        assert verdicts(facts, mode="ephemeral") == {"clock": "failed"}
    assert verdicts(replace(WELL, skew_ms=-5_000), mode="ephemeral") == {"clock": "warning"}
    assert "5.0 s behind" in text(replace(WELL, skew_ms=-5_000), "clock")
    assert verdicts(replace(WELL, skew_ms=4_999)) == {}
