"""What a serving process holds in memory: nothing that its configuration does not ask for.

Each of these was once imported by somebody on the way, and weighed on every sidecar from then on.
What a configuration does ask for is there before the first message, and not with it.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import aiohttp
import trustme

from tests.scenarios.end_to_end import RULES
from tests.scenarios.rig import ROOT, TOKEN, backend, served

WRITTEN_AT_THE_END = textwrap.dedent(
    """
    import atexit, os, sys

    @atexit.register
    def write():
        with open(os.path.join(os.path.dirname(__file__), f"modules.{os.getpid()}"), "w") as file:
            file.write(" ".join(name for name, held in sys.modules.items() if held))
    """
)
HEAVY = {
    "cryptography.hazmat.primitives.serialization.ssh",
    "cryptography.x509",
    "frozenlist._frozenlist",
    "importlib.metadata",
    "importlib.resources",
    "joserfc",
    "jsonschema",
    "multiprocessing",
    "opentelemetry",
    "pkcs11",
    "proxy.admin.auth.certificates",
    "proxy.keys.keyring.roots.aws_kms",
    "proxy.keys.keyring.roots.key_service",
    "proxy.keys.keyring.roots.pkcs11",
    "proxy.keys.keyring.roots.shares",
    "proxy.keys.participants.package_jwe",
    "proxy.keys.stores.redis.store",
    "proxy.keys.stores.sqlite",
    "proxy.wiring.workers.supervisor",
    "proxy.wiring.workers.worker",
    "redis",
    "sqlite3",
    "xml",
    "zipfile",
    "zstandard",
}
COMPILED = {
    "aiohttp._http_parser",
    "aiohttp._http_writer",
    "multidict._multidict",
    "propcache._helpers_c",
    "yarl._quoting_c",
}
"""What a message passes through: in C, although frozenlist is not."""


async def modules(
    folder: Path,
    *options: str,
    used: bool = False,
    rules: str | None = None,
    admin_more: str = "",
) -> set[str]:
    """Return the modules of a sidecar; `used` gives it a message and calls of its admin API."""
    (folder / "sitecustomize.py").write_text(WRITTEN_AT_THE_END)
    variables = {"PYTHONPATH": f"{ROOT}:{folder}"}
    async with backend() as behind:
        with served(
            folder,
            behind.port,
            *options,
            rules=rules,
            admin_more=admin_more,
            variables=variables,
            trusted=rules is not None,
        ) as ours:
            await ours.event("server.ready")
            if used:
                await use(ours.port, ours.admin)
            ours.process.terminate()
            await ours.ended()
    return written_in(folder)


def written_in(folder: Path) -> set[str]:
    return {name for file in folder.glob("modules.*") for name in file.read_text().split()}


async def use(port: int, admin: int) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    body = {"conversationId": "c1", "content": "canary", "note": "n"}
    async with aiohttp.ClientSession() as client:
        async with client.post(f"http://127.0.0.1:{port}/api/messages", json=body) as answer:
            assert await answer.json() == body
        for path in ("/readyz", "/metrics", "/v1/status", "/"):
            async with client.get(f"http://127.0.0.1:{admin}{path}", headers=headers) as answer:
                assert answer.status == 200


async def test_a_sidecar_at_work_holds_nothing_heavy(tmp_path: Path) -> None:
    found = await modules(tmp_path, used=True, admin_more="status_page: true, tap: true")

    assert "proxy.admin.routes.page" in found  # or the sidecar told of nothing
    assert not found & HEAVY
    assert found >= COMPILED


async def test_rules_end_to_end_have_their_library_before_the_first_message(
    tmp_path: Path,
) -> None:
    assert "joserfc" in await modules(tmp_path, rules=RULES)


async def test_workers_are_watched_by_who_carries_nothing(tmp_path: Path) -> None:
    found = await modules(tmp_path, "--workers", "2")

    assert {"proxy.wiring.workers.supervisor", "proxy.wiring.workers.worker"} <= found
    assert not found & (HEAVY - {"proxy.wiring.workers.supervisor", "proxy.wiring.workers.worker"})


async def test_client_certificates_have_x509_before_the_first_caller(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    shown = authority.issue_cert("127.0.0.1")
    shown.private_key_pem.write_to_path(tmp_path / "a.key")
    (tmp_path / "a.key").chmod(0o600)
    shown.cert_chain_pems[0].write_to_path(tmp_path / "a.pem")
    tls = "tls: {cert: a.pem, key: a.key, client_ca: ca.pem}"
    clients = "clients: [{name: ops, subject: CN=ops, scopes: [read]}]"

    found = await modules(tmp_path, admin_more=f"{tls}, {clients}")

    assert {"proxy.admin.auth.certificates", "cryptography.x509"} <= found
