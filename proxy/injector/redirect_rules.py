"""The nftables rules of a pod (docs/adr/0071-beside-a-mesh.md).

Of NAT chains at one hook, that with the lowest priority is asked first, and the first that changes
a connection decides. Of two with equal priority, the one that was registered last is asked first:
who comes last would win. So Sealyard's are never at `dstnat`, where meshes have theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from .policy import MESH_HEALTH_PORT, MESH_USER, TRAFFIC_PORT
from .ports import Sealed

_ISTIO_USER: Final = 1337
_ISTIO_SOURCES: Final = ("ip saddr 127.0.0.6", "ip6 saddr ::6")
"""Where Istio's proxy calls from. Any process of the pod could, so Sealyard could not trust it."""

_NOT_LOOPBACK: Final = ("ip daddr != 127.0.0.0/8", "ip6 daddr != ::1")
_OWN: Final = tuple(
    f'oifname "lo" meta skuid {MESH_USER} dnat {family} to {family} daddr'
    for family in ("ip", "ip6")
)
_ANSWER: Final = f"tcp sport {{ {TRAFFIC_PORT}, {MESH_HEALTH_PORT} }}"
_ACCEPTING: Final = f"{_ANSWER} tcp flags & (syn | ack) == (syn | ack)"
_ANSWERS: Final = (
    f"{_ACCEPTING} meta skuid {MESH_USER} accept",
    f"{_ACCEPTING} drop",
    f"{_ANSWER} meta skuid != {MESH_USER} drop",
)

_FIRST: Final = "dstnat - 10"
_LAST: Final = "dstnat + 10"


def redirect_rules(sealed: Sealed, health: int) -> str:
    """Return the rules that bring connections from outside to the sidecar, before any mesh.

    Every TCP port is taken but those that pass, and `health`. Traffic within the pod, that of the
    sidecar included, does not pass `prerouting`, so nothing needs an exemption. A mesh that nobody
    has seen is passed by, rather than sealing.
    """
    inbound = f"{_but([*sealed.left, health])} redirect to :{TRAFFIC_PORT}"
    return _table(_chain("inbound", "prerouting", _FIRST, inbound))


def mesh_rules(sealed: Sealed) -> str:
    """Return the rules that bring every connection to the sidecar but its own, after any mesh.

    * `health`: the kubelet's probes do not pass the mesh, which would want mutual TLS of them.
    * `inbound`: what arrives, at any port but those that pass, and what no mesh has taken.
    * `local`: what is called from inside, by the mesh's proxy and by all others: at an address of
      the pod as from outside, and on loopback at the ports where the application listens. What the
      application itself calls there, such as the API of another sidecar, is its own. Only the port
      changes: a source that only the mesh can route to, as ambient's, has no way to 127.0.0.1.
    * `own`: what the sidecar calls in the pod goes there, and to no mesh, which would send it back:
      the first chain that changes a connection decides, also where it changes nothing. So `local`
      asks for no user: a rule that does would not hold for a connection whose user is not known.
    * `sources`: only Istio's proxy has the addresses that it calls from. So `trusted_proxies` can
      name them, and only what this proxy says of a client's certificate is believed.
    * `answers`: only the sidecar's user answers at its ports, also before it starts, and between
      its end and its next start. The health port is not redirected, so clients can be sent there.
      The kernel sends SYN cookies as nobody: they are dropped, since a decoy could ask for them.
    """
    outside, sidecar = _but([*sealed.left, MESH_HEALTH_PORT]), f"to :{TRAFFIC_PORT}"
    own = f"tcp dport {MESH_HEALTH_PORT} redirect to :{MESH_HEALTH_PORT}"
    others = 'oifname "lo"'
    known = [f"{others} tcp dport {_listed(sealed.numbers)} dnat {sidecar}"]
    return _table(
        _chain("health", "prerouting", _FIRST, own),
        _chain("inbound", "prerouting", _LAST, f"{outside} redirect {sidecar}"),
        _chain(
            "local",
            "output",
            _LAST,
            *(known if sealed.numbers else ()),
            *(f"{others} {far} {outside} dnat {sidecar}" for far in _NOT_LOOPBACK),
        ),
        _chain("own", "output", _FIRST, *_OWN),
        _chain("sources", "output", "filter", *_sources(), kind="filter"),
        _chain("answers", "output", "filter", *_ANSWERS, kind="filter"),
    )


def _but(ports: Iterable[int]) -> str:
    return f"tcp dport != {_listed(sorted(set(ports)))}"


def _listed(ports: Iterable[int]) -> str:
    return f"{{ {', '.join(map(str, ports))} }}"


def _sources() -> Iterator[str]:
    for source in _ISTIO_SOURCES:
        yield f"{source} meta skuid != {_ISTIO_USER} tcp dport {TRAFFIC_PORT} drop"


def _chain(name: str, hook: str, priority: str, *rules: str, kind: str = "nat") -> str:
    head = f"type {kind} hook {hook} priority {priority}; policy accept"
    return f" chain {name} {{ {'; '.join([head, *rules])}; }};"


def _table(*chains: str) -> str:
    """Return the table, so that a second run changes nothing."""
    return (
        "table inet sealyard; flush table inet sealyard;"
        f" table inet sealyard {{{''.join(chains)} }}"
    )
