"""What a Redis reports and permits, and the findings that follow. Nothing here waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal

from ....config.settings import RedisCluster, RedisSentinels, RedisSettings, TcpAddress
from ....process.fitness import INTERCEPTION_VARIABLE, Finding
from ...policy import NOTABLE_SKEW_MS, OLDEST_REDIS
from ..store import CLOCK_SKEW_MS

Mode = Literal["durable", "ephemeral"]

NEEDED: Final = ("EVAL", "EVALSHA", "TIME", "GET", "SET", "PTTL")
"""Without these nothing can be agreed on."""
WANTED: Final = ("PUBLISH", "SUBSCRIBE")
"""Without these, revocations arrive late."""


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What was found out: of each node, and of what the user may do.

    `versions`, `roles` and `policies` hold what the nodes say, as far as they say it; `skew_ms` is
    how far their clocks are ahead of ours, the farthest of them. `said` is the error code that each
    command met (`NOPERM`, `READONLY`, `OOM`, …), or an empty text where it went well.
    """

    versions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    skew_ms: int = 0
    said: Mapping[str, str] = field(default_factory=dict)


def judged(facts: RedisFacts, settings: RedisSettings, mode: Mode) -> Iterator[Finding]:
    """Yield what to make of the facts, for sessions of that mode."""
    yield _version(facts)
    yield _transport(settings)
    yield from _rights(facts, settings)
    yield _writing(facts)
    yield _eviction(facts, mode)
    yield _clock(facts, mode)


def _version(facts: RedisFacts) -> Finding:
    check = "redis version"
    if not facts.versions:
        return Finding(
            check, "unknown", "Redis does not report its version: the user may not run HELLO."
        )
    old = [one for one in facts.versions if _number(one) < OLDEST_REDIS]
    if old:
        return Finding(check, "failed", f"Redis {old[0]} is too old: use {OLDEST_REDIS} or newer.")
    return Finding(check, "ok", f"Redis {', '.join(dict.fromkeys(facts.versions))}")


def _transport(settings: RedisSettings) -> Finding:
    if settings.tls:
        return Finding("redis TLS", "ok", "The connection is verified TLS.")
    if all(map(_near, _places(settings))):
        return Finding("redis TLS", "ok", "No TLS, and Redis is on this machine.")
    return Finding(
        "redis TLS",
        "warning",
        "The password and all records cross the network unencrypted: write `rediss://`.",
    )


def astray(settings: RedisSettings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what is wrong where the store is another machine for whoever writes the pod.

    The name of a pod is in its hosts file, which all its containers share, as its nameservers: a
    root process writes both. Only a certificate tells then which machine has answered.
    """
    if settings.tls or INTERCEPTION_VARIABLE not in environ:
        return
    for place in _places(settings):
        if isinstance(place, TcpAddress) and _address(place) is None:
            text = (
                f"Containers of the pod decide which machine `{place.host}` is: write `rediss://`,"
                " or its IP address."
            )
            yield Finding("redis TLS", "failed", text)


def _rights(facts: RedisFacts, settings: RedisSettings) -> Iterator[Finding]:
    user = settings.user or "default"
    denied = [name for name, code in facts.said.items() if code == "NOPERM"]
    needed = [name for name in denied if name in NEEDED]
    wanted = [name for name in denied if name in WANTED]
    grant = " ".join(f"+{name.lower()}" for name in denied)
    names = f"~{settings.prefix}:* &{settings.prefix}:*"
    if needed:
        text = (
            f"The user `{user}` may not run {', '.join(needed)}: ACL SETUSER {user} {names} {grant}"
        )
        yield Finding("redis rights", "failed", text)
    elif wanted:
        text = (
            f"The user `{user}` may not run {', '.join(wanted)}, so revocations arrive only within"
            f" `revocation_max_age`: ACL SETUSER {user} {names} {grant}"
        )
        yield Finding("redis rights", "warning", text)
    else:
        yield Finding(
            "redis rights", "ok", f"The user `{user}` may run every command that Sealyard needs."
        )


_CANNOT_WRITE: Final = {
    "READONLY": "This Redis is a replica and accepts no writes: configure the master or Sentinels.",
    "OOM": "This Redis is full: raise `maxmemory`.",
    "MISCONF": "This Redis accepts no writes, since it cannot write to its disk: free some space.",
}


def _writing(facts: RedisFacts) -> Finding:
    code = facts.said.get("SET", "")
    if code in _CANNOT_WRITE:
        return Finding("redis writes", "failed", _CANNOT_WRITE[code], passing=True)
    if code and code != "NOPERM":
        return Finding(
            "redis writes", "failed", f"This Redis accepts no writes: {code}.", passing=True
        )
    if any(role not in {"master", "primary"} for role in facts.roles):
        text = "One of the Redis servers is a replica, which accepts no writes."
        return Finding("redis writes", "warning", text)
    return Finding("redis writes", "ok", "Redis accepts writes.")


def _eviction(facts: RedisFacts, mode: Mode) -> Finding:
    check = "redis eviction"
    if not facts.policies:
        text = (
            "maxmemory-policy is not known, since the user may not run CONFIG GET (rightly so):"
            " check that it is noeviction."
        )
        return Finding(check, "unknown", text)
    policy = next((one for one in facts.policies if one != "noeviction"), "noeviction")
    lost = []
    if policy.startswith("allkeys"):
        lost.append("revocations")
    if policy != "noeviction" and mode == "ephemeral":
        lost.append("ephemeral keys, which are then lost for good")
    if lost:
        text = f"maxmemory-policy is {policy}, which may evict {' and '.join(lost)}:"
        return Finding(check, "warning", f"{text} CONFIG SET maxmemory-policy noeviction")
    return Finding(check, "ok", f"maxmemory-policy is {policy}.")


def _clock(facts: RedisFacts, mode: Mode) -> Finding:
    check, skew = "redis clock", abs(facts.skew_ms)
    way = "ahead of" if facts.skew_ms > 0 else "behind"
    text = f"Redis' clock is {skew / 1000:.1f} s {way} ours"
    if skew >= CLOCK_SKEW_MS:
        most = CLOCK_SKEW_MS // 1000
        if mode == "ephemeral":
            text += (
                f", and above {most} s there are no ephemeral sessions: synchronise both by NTP."
            )
            return Finding(check, "failed", text)
        text += f", and above {most} s sessions are not shared: synchronise both by NTP."
        return Finding(check, "warning", text)
    if skew >= NOTABLE_SKEW_MS:
        return Finding(check, "warning", f"{text}: synchronise both by NTP.")
    return Finding(check, "ok", f"{text}.")


def _places(settings: RedisSettings) -> tuple[object, ...]:
    place = settings.address
    if isinstance(place, RedisCluster | RedisSentinels):
        return place.nodes
    return (place,)


def _near(place: object) -> bool:
    if not isinstance(place, TcpAddress):
        return True  # a Unix socket
    address = _address(place)
    return place.host == "localhost" or (address is not None and address.is_loopback)


def _address(place: TcpAddress) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(place.host)
    except ValueError:
        return None


def _number(version: str) -> int:
    first = version.partition(".")[0]
    return int(first) if first.isdecimal() else 0
