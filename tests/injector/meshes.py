"""Meshes in the namespace of a pod: their redirects as they write them, and Envoy as their proxy.

Istio's rules are those of istio-init and of its CNI plugin, Linkerd's those of linkerd-init, and
ambient's those that istio-cni writes for ztunnel. Consul's, Kuma's and App Mesh's have the form of
theirs, and their proxies call the application on loopback. So do Dapr's, and Consul's without
transparent proxy, which have no rules: others call the proxy at a port that passes. The proxy is
Envoy with the listeners, sources and marks that theirs have. There is no control plane and no
mutual TLS.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import Final

from proxy.injector.annotations import MeshKind
from proxy.injector.pod_reader import Json
from tests.injector.running_pod import ROOT, RunningPod, inside_of, run

ENVOY: Final = next(
    (str(one) for one in (ROOT / ".venv-envoy/lib").glob("*/site-packages/envoy/_bin/envoy")), None
)
MISSING: Final = [one for one in ("iptables-nft", "iptables-legacy") if shutil.which(one) is None]
if ENVOY is None:
    MISSING.append(".venv-envoy")

SEEN: Final = "x-mesh"
"""Response header of the mesh's proxy: the message has passed it."""

CERTIFICATE: Final = "x-forwarded-client-cert"
TOLD: Final = "By=spiffe://a;Hash=0;URI=spiffe://b"
"""What it tells of the certificate of a client."""

_HTTP: Final = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
_HTTP_ROUTER: Final = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_TCP: Final = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_LISTENER: Final = "type.googleapis.com/envoy.extensions.filters.listener"

_ISTIO_RULES: Final = """
-t nat -N ISTIO_INBOUND
-t nat -N ISTIO_REDIRECT
-t nat -N ISTIO_IN_REDIRECT
-t nat -N ISTIO_OUTPUT
-t nat -A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
-t nat -A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
-t nat -A PREROUTING -p tcp -j ISTIO_INBOUND
-t nat -A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN
-t nat -A ISTIO_INBOUND -p tcp --dport 15090 -j RETURN
-t nat -A ISTIO_INBOUND -p tcp --dport 15021 -j RETURN
-t nat -A ISTIO_INBOUND -p tcp --dport 15020 -j RETURN
-t nat -A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
-t nat -A OUTPUT -j ISTIO_OUTPUT
-t nat -A ISTIO_OUTPUT -s {source} -o lo -j RETURN
-t nat -A ISTIO_OUTPUT -o lo ! -d {loopback} -p tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT
-t nat -A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN
-t nat -A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN
-t nat -A ISTIO_OUTPUT -o lo ! -d {loopback} -p tcp ! --dport 15008 -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT
-t nat -A ISTIO_OUTPUT -o lo -m owner ! --gid-owner 1337 -j RETURN
-t nat -A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN
-t nat -A ISTIO_OUTPUT -d {loopback} -j RETURN
-t nat -A ISTIO_OUTPUT -j ISTIO_REDIRECT
"""  # noqa: E501 - one rule a line, as they are written there

_AMBIENT_RULES: Final = """
-t mangle -N ISTIO_PRERT
-t mangle -N ISTIO_OUTPUT
-t mangle -A PREROUTING -j ISTIO_PRERT
-t mangle -A OUTPUT -j ISTIO_OUTPUT
-t mangle -A ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff
-t mangle -A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff
-t nat -N ISTIO_PRERT
-t nat -N ISTIO_OUTPUT
-t nat -A PREROUTING -j ISTIO_PRERT
-t nat -A OUTPUT -j ISTIO_OUTPUT
-t nat -A ISTIO_OUTPUT -d {kubelet} -p tcp -j ACCEPT
-t nat -A ISTIO_PRERT -s {kubelet} -p tcp -j ACCEPT
-t nat -A ISTIO_PRERT ! -d {loopback} -p tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006
-t nat -A ISTIO_OUTPUT -p tcp -m mark --mark 0x111/0xfff -j ACCEPT
-t nat -A ISTIO_OUTPUT ! -d {loopback} -o lo -j ACCEPT
-t nat -A ISTIO_OUTPUT ! -d {loopback} -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001
"""  # noqa: E501 - as above

_LINKERD_RULES: Final = """
-t nat -N PROXY_INIT_REDIRECT
-t nat -N PROXY_INIT_OUTPUT
-t nat -A PROXY_INIT_REDIRECT -p tcp -m multiport --dports 4190,4191,4567,4568 -j RETURN
-t nat -A PROXY_INIT_REDIRECT -p tcp -j REDIRECT --to-ports 4143
-t nat -A PREROUTING -j PROXY_INIT_REDIRECT
-t nat -A PROXY_INIT_OUTPUT -m owner --uid-owner 2102 -j RETURN
-t nat -A PROXY_INIT_OUTPUT -o lo -j RETURN
-t nat -A PROXY_INIT_OUTPUT -p tcp -m multiport --dports 4567,4568 -j RETURN
-t nat -A PROXY_INIT_OUTPUT -p tcp -j REDIRECT --to-ports 4140
-t nat -A OUTPUT -j PROXY_INIT_OUTPUT
"""


_CONSUL_RULES: Final = """
-t nat -N CONSUL_PROXY_INBOUND
-t nat -N CONSUL_PROXY_IN_REDIRECT
-t nat -N CONSUL_PROXY_OUTPUT
-t nat -N CONSUL_PROXY_REDIRECT
-t nat -A CONSUL_PROXY_REDIRECT -p tcp -j REDIRECT --to-ports 15001
-t nat -A CONSUL_PROXY_IN_REDIRECT -p tcp -j REDIRECT --to-ports 20000
-t nat -A OUTPUT -p tcp -j CONSUL_PROXY_OUTPUT
-t nat -A CONSUL_PROXY_OUTPUT -m owner --uid-owner 5995 -j RETURN
-t nat -A CONSUL_PROXY_OUTPUT -d {loopback} -j RETURN
-t nat -A CONSUL_PROXY_OUTPUT -j CONSUL_PROXY_REDIRECT
-t nat -A PREROUTING -p tcp -j CONSUL_PROXY_INBOUND
-t nat -A CONSUL_PROXY_INBOUND -p tcp -j CONSUL_PROXY_IN_REDIRECT
"""

_KUMA_RULES: Final = """
-t nat -N KUMA_MESH_INBOUND
-t nat -N KUMA_MESH_INBOUND_REDIRECT
-t nat -N KUMA_MESH_OUTBOUND
-t nat -N KUMA_MESH_OUTBOUND_REDIRECT
-t nat -A PREROUTING -p tcp -j KUMA_MESH_INBOUND
-t nat -A OUTPUT -p tcp -j KUMA_MESH_OUTBOUND
-t nat -A KUMA_MESH_INBOUND -p tcp -j KUMA_MESH_INBOUND_REDIRECT
-t nat -A KUMA_MESH_INBOUND_REDIRECT -p tcp -j REDIRECT --to-ports 15006
-t nat -A KUMA_MESH_OUTBOUND -s {source} -o lo -j RETURN
-t nat -A KUMA_MESH_OUTBOUND -o lo ! -d {loopback} -p tcp -m owner --uid-owner 5678 -j KUMA_MESH_INBOUND_REDIRECT
-t nat -A KUMA_MESH_OUTBOUND -o lo -m owner ! --uid-owner 5678 -j RETURN
-t nat -A KUMA_MESH_OUTBOUND -m owner --uid-owner 5678 -j RETURN
-t nat -A KUMA_MESH_OUTBOUND -d {loopback} -j RETURN
-t nat -A KUMA_MESH_OUTBOUND -j KUMA_MESH_OUTBOUND_REDIRECT
-t nat -A KUMA_MESH_OUTBOUND_REDIRECT -p tcp -j REDIRECT --to-ports 15001
"""  # noqa: E501 - as above


_APP_MESH_RULES: Final = """
-t nat -N APPMESH_INGRESS
-t nat -N APPMESH_EGRESS
-t nat -A APPMESH_INGRESS -p tcp -m multiport --dports 8080 -j REDIRECT --to-ports 15000
-t nat -A PREROUTING -p tcp -m addrtype ! --src-type LOCAL -j APPMESH_INGRESS
-t nat -A APPMESH_EGRESS -m owner --uid-owner 1337 -j RETURN
-t nat -A APPMESH_EGRESS -p tcp -j REDIRECT --to-ports 15001
-t nat -A OUTPUT -p tcp -m addrtype ! --dst-type LOCAL -j APPMESH_EGRESS
"""


@dataclass(frozen=True, slots=True)
class Mesh:
    """One mesh. `sources` are the addresses that its proxy calls applications from.

    With `transparent`, it calls them from the address of the client, as ztunnel does; with
    `loopback`, at port 8080 of loopback. `namespace` is what the labels of its namespace tell the
    injector. `pod` is what a pod of it has when Sealyard's webhook is asked. What leaves the pod
    passes `outbound`. With `called`, there are no rules: clients call the proxy itself, `inbound`.
    """

    name: str
    rules: str
    pod: Json
    uid: int = 1337
    inbound: int = 15006
    outbound: int = 15001
    iptables: str = "nft"
    sources: tuple[str, ...] = ()
    transparent: bool = False
    namespace: tuple[MeshKind, ...] = ()
    loopback: bool = False
    called: bool = False

    def install(self, pod: RunningPod) -> None:
        """Write the rules."""
        for six in (False, True):
            words = {
                "source": "::6/128" if six else "127.0.0.6/32",
                "loopback": "::1/128" if six else "127.0.0.1/32",
                "kubelet": "fd16:9254:7127:1337:ffff:ffff:ffff:ffff" if six else "169.254.7.127",
            }
            command = f"ip{'6' if six else ''}tables-{self.iptables}"
            for rule in self.rules.strip().splitlines():
                run(*pod.inside, command, "-w", *rule.format(**words).split())

    def start(self, pod: RunningPod) -> None:
        """Start the proxy, and what it needs of the kernel."""
        if "::6" in self.sources:
            run(*pod.inside, "ip", "addr", "replace", "::6/128", "dev", "lo", "nodad")
        if self.transparent:
            for family, everywhere in (("-4", "0.0.0.0/0"), ("-6", "::/0")):
                ip = (*pod.inside, "ip", family)
                run(*ip, "rule", "add", "fwmark", "0x111/0xfff", "pref", "32764", "lookup", "100")
                run(*ip, "route", "add", "local", everywhere, "dev", "lo", "table", "100")
        bootstrap = pod.folder / f"{self.name}.json"
        bootstrap.write_text(json.dumps(self.bootstrap()))
        user = () if self.transparent else (f"--reuid={self.uid}", f"--regid={self.uid}")
        pod.start(
            "mesh",
            *("setpriv", "--clear-groups", *user, str(ENVOY), "-c", str(bootstrap)),
            *("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"),
        )
        pod.until_listening("mesh", self.inbound)

    def bootstrap(self) -> Json:
        """Return the configuration of Envoy."""
        families = ("0.0.0.0", "::")  # noqa: S104 - in the namespace of the pod
        listeners = [self._inbound(index, family) for index, family in enumerate(families)]
        clusters = [self._cluster(f"app{index}", index) for index in range(2)]
        if not self.transparent:
            listeners += [self._outbound(index, family) for index, family in enumerate(families)]
            clusters.append({**self._cluster("leaving", 0), "upstream_bind_config": None})
        if self.transparent:
            listeners += [self._tunnel(index, family) for index, family in enumerate(families)]
            clusters += [self._cluster(f"tunnelled{index}", index) for index in range(2)]
            for one in clusters[2:]:
                one["original_dst_lb_config"] = {
                    "use_http_header": True,
                    "http_header_name": ":authority",
                }
        return {"static_resources": {"listeners": listeners, "clusters": clusters}}

    def _inbound(self, index: int, family: str) -> Json:
        route = {"match": {"prefix": "/"}, "route": {"cluster": f"app{index}"}}
        added = {"header": {"key": SEEN, "value": self.name}}
        certificate = {"header": {"key": CERTIFICATE, "value": TOLD}}
        host = {
            "name": "all",
            "domains": ["*"],
            "routes": [route],
            "response_headers_to_add": [added],
            "request_headers_to_add": [
                {**certificate, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            ],
        }
        return self._listener(f"inbound{index}", family, self.inbound, {"virtual_hosts": [host]})

    def _tunnel(self, index: int, family: str) -> Json:
        """Return the listener of HBONE, by HTTP/1.1 and without TLS."""
        upgrade = {"upgrade_type": "CONNECT", "connect_config": {}}
        action = {"cluster": f"tunnelled{index}", "upgrade_configs": [upgrade]}
        route = {"match": {"connect_matcher": {}}, "route": action}
        host = {"name": "all", "domains": ["*"], "routes": [route]}
        return self._listener(f"tunnel{index}", family, 15008, {"virtual_hosts": [host]})

    def _outbound(self, index: int, family: str) -> Json:
        """Return the listener of what leaves the pod, which the proxy passes on unread."""
        passing = {"@type": _TCP, "stat_prefix": "leaving", "cluster": "leaving"}
        proxy = {"name": "envoy.filters.network.tcp_proxy", "typed_config": passing}
        return {
            "name": f"outbound{index}",
            "address": {"socket_address": {"address": family, "port_value": self.outbound}},
            "listener_filters": [_listener_filter("original_dst", "OriginalDst")],
            "filter_chains": [{"filters": [proxy]}],
        }

    def _listener(self, name: str, family: str, port: int, routes: Json) -> Json:
        router = {
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": _HTTP_ROUTER},
        }
        manager = {
            "@type": f"{_HTTP}.HttpConnectionManager",
            "stat_prefix": name,
            "route_config": routes,
            "http_filters": [router],
            "upgrade_configs": [{"upgrade_type": "CONNECT"}],
        }
        filters = [_listener_filter("original_dst", "OriginalDst")]
        if self.transparent:
            filters.append(_listener_filter("original_src", "OriginalSrc", mark=0x539))
        address = {"address": family, "port_value": port}
        connections = {"name": "http", "typed_config": manager}
        return {
            "name": name,
            "address": {"socket_address": address},
            "listener_filters": filters,
            "filter_chains": [{"filters": [connections]}],
        }

    def _cluster(self, name: str, index: int) -> Json:
        if self.loopback and name.startswith("app"):
            place = {"address": ("127.0.0.1", "::1")[index], "port_value": 8080}
            endpoint = {"endpoint": {"address": {"socket_address": place}}}
            known = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
            return {"name": name, "type": "STATIC", "load_assignment": known}
        made: Json = {"name": name, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}
        if self.sources:
            source = {"address": self.sources[index], "port_value": 0}
            made["upstream_bind_config"] = {"source_address": source}
        return made


def _listener_filter(name: str, kind: str, **options: object) -> Json:
    typed = {"@type": f"{_LISTENER}.{name}.v3.{kind}", **options}
    return {"name": f"envoy.filters.listener.{name}", "typed_config": typed}


_ISTIO_SOURCES: Final = ("127.0.0.6", "::6")

MESHES: Final = (
    Mesh(
        "istio-init",
        _ISTIO_RULES,
        {"initContainers": [{"name": "istio-init", "image": "istio/proxyv2:1"}]},
        sources=_ISTIO_SOURCES,
    ),
    Mesh(
        "istio-cni",
        _ISTIO_RULES,
        {"annotations": {"sidecar.istio.io/status": "{}"}},
        iptables="legacy",
        sources=_ISTIO_SOURCES,
    ),
    Mesh(
        "ambient",
        _AMBIENT_RULES,
        {"labels": {"istio.io/dataplane-mode": "ambient"}},
        uid=0,
        transparent=True,
        namespace=("ambient",),
    ),
    Mesh(
        "linkerd",
        _LINKERD_RULES,
        {"annotations": {"linkerd.io/inject": "enabled"}},
        uid=2102,
        inbound=4143,
        outbound=4140,
    ),
    Mesh(
        "consul",
        _CONSUL_RULES,
        {"annotations": {"consul.hashicorp.com/connect-inject": "true"}},
        uid=5995,
        inbound=20000,
        loopback=True,
    ),
    Mesh(
        "kuma",
        _KUMA_RULES,
        {"labels": {"kuma.io/mesh": "default"}},
        uid=5678,
        loopback=True,
    ),
    Mesh(
        "app-mesh",
        _APP_MESH_RULES,
        {"annotations": {"appmesh.k8s.aws/mesh": "default"}},
        inbound=15000,
        loopback=True,
    ),
    Mesh(
        "dapr",
        "",
        {"annotations": {"dapr.io/app-port": "8080", "sealyard.io/pass-ports": "50002"}},
        inbound=50002,
        loopback=True,
        called=True,
    ),
    Mesh(
        "consul-called",
        "",
        {
            "annotations": {
                "consul.hashicorp.com/connect-service-port": "8080",
                "sealyard.io/pass-ports": "20000",
            }
        },
        uid=5995,
        inbound=20000,
        loopback=True,
        called=True,
    ),
)


_HELD: Final = """
flush ruleset
table inet held { chain output { type filter hook output priority raw; policy accept; tcp flags & (syn | ack) == syn drop; }; }
"""  # noqa: E501 - a table is one line


def forget_rules(pod: RunningPod) -> None:
    """Remove every rule of the pod, Sealyard's and the mesh's, and let no connection begin.

    A proxy may still hold a message whose client has given up, and would send it on while no rules
    are there, which no pod is without.
    """
    inside = inside_of(f"{pod.name}-pod")
    subprocess.run([*inside, "nft", "-f", "-"], input=_HELD, text=True, timeout=30, check=True)
    for command in ("iptables-legacy", "ip6tables-legacy"):
        for table in ("nat", "mangle"):
            for what in ("-F", "-X"):
                run(*pod.inside, command, "-w", "-t", table, what)


def let_go(pod: RunningPod) -> None:
    """Let connections begin again: the rules are written."""
    run(*inside_of(f"{pod.name}-pod"), "nft", "delete", "table", "inet", "held")
