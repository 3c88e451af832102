"""The nftables rules of a pod (docs/adr/0071-beside-a-mesh.md).

Of NAT chains at one hook, that with the lowest priority is asked first, and the first that changes
a connection decides. Of two with equal priority, the one that was registered last is asked first:
who comes last would win. So Sealyard's are never at `dstnat`, where meshes have theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from .policy import MESH_HEALTH_PORT, MESH_USER, TRAFFIC_PORT

_ISTIO_USER: Final = 1337
_ISTIO_SOURCES: Final = ("ip saddr 127.0.0.6", "ip6 saddr ::6")
"""Where Istio's proxy calls from. Any process of the pod could, so Sealyard could not trust it."""

_FIRST: Final = "dstnat - 10"
_LAST: Final = "dstnat + 10"


def redirect_rules(ports: Iterable[int]) -> str:
    """Return the rules that bring connections from outside to the sidecar, before any mesh.

    Traffic within the pod, that of the sidecar included, does not pass `prerouting`, so nothing
    needs an exemption. A mesh that nobody has seen is passed by, rather than sealing.
    """
    return _table(
        _chain("inbound", "prerouting", _FIRST, f"{_to(ports)} redirect to :{TRAFFIC_PORT}")
    )


def mesh_rules(ports: Iterable[int]) -> str:
    """Return the rules that bring every connection to the sidecar but its own, after any mesh.

    * `health`: the kubelet's probes do not pass the mesh, which would want mutual TLS of them.
    * `inbound`: what arrives, and what no mesh has taken.
    * `local`: what is called from inside, by the mesh's proxy and by all others. Only the port
      changes: a source that only the mesh can route to, as ambient's, has no way to 127.0.0.1.
    * `sources`: only Istio's proxy has the addresses that it calls from. So `trusted_proxies` can
      name them, and only what this proxy says of a client's certificate is believed.
    """
    to = _to(ports)
    own = f"tcp dport {MESH_HEALTH_PORT} redirect to :{MESH_HEALTH_PORT}"
    local = f'oifname "lo" meta skuid != {MESH_USER} {to} dnat to :{TRAFFIC_PORT}'
    return _table(
        _chain("health", "prerouting", _FIRST, own),
        _chain("inbound", "prerouting", _LAST, f"{to} redirect to :{TRAFFIC_PORT}"),
        _chain("local", "output", _LAST, local),
        _chain("sources", "output", "filter", *_sources(), kind="filter"),
    )


def _to(ports: Iterable[int]) -> str:
    return f"tcp dport {{ {', '.join(map(str, ports))} }}"


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
