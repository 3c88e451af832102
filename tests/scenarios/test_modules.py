"""What a serving process holds in memory: nothing that its configuration does not ask for.

Each of these was once imported by somebody on the way, and weighed on every sidecar from then on.
What a configuration does ask for is there before the first message, and not with it.
"""

from __future__ import annotations

import secrets
import textwrap
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import aiohttp
import pytest
import trustme

from tests.scenarios.end_to_end import RULES, a_world
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
pytestmark = pytest.mark.cold

HEAVY = {
    "aiohttp.web",
    "argparse",
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
    "prometheus_client",
    "proxy.admin.auth.certificates",
    "proxy.admin.auth.token_review",
    "proxy.config.schema",
    "proxy.config.settings.roots.vault",
    "proxy.core.explain.explanation",
    "proxy.core.formats.graphql.operations",
    "proxy.keys.end_to_end.key_source",
    "proxy.keys.keyring.roots.aws_kms",
    "proxy.keys.keyring.roots.key_service",
    "proxy.keys.keyring.roots.pkcs11",
    "proxy.keys.keyring.roots.shares",
    "proxy.keys.participants.package_jwe",
    "proxy.keys.participants.registry",
    "proxy.keys.stores.redis.store",
    "proxy.keys.stores.sqlite",
    "proxy.explaining",
    "proxy.telemetry.traces",
    "proxy.wiring.workers.supervisor",
    "proxy.wiring.workers.worker",
    "redis",
    "sqlite3",
    "xml",
    "zipfile",
    "zstandard",
}
OTHER_RULES = """\
      - name: another
        match: POST /other/{id}
        conversation: path:id
        request: {encrypt: $.content}
"""
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
    sent: bool = False,
    used: bool = False,
    asked: bool = False,
    rules: str | None = None,
    keys_more: str = "",
    admin_more: str = "",
    variables: Mapping[str, str] = MappingProxyType({}),
) -> set[str]:
    """Return the modules of a sidecar.

    `sent` gives it messages, `used` the calls of its admin API that come all the time, `asked`
    those that operators make.
    """
    prepare(folder)
    variables = {"PYTHONPATH": f"{ROOT}:{folder}", **variables}
    async with backend() as behind:
        with served(
            folder,
            behind.port,
            *options,
            rules=rules,
            keys_more=keys_more,
            admin_more=admin_more,
            variables=variables,
            trusted=rules is not None,
        ) as ours:
            await ours.event("server.ready")
            if sent:
                await send(ours.port)
            if used:
                await use(ours.admin)
            if asked:
                await ask(ours.admin)
            ours.process.terminate()
            await ours.ended()
    return written_in(folder)


async def ask(admin: int) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    names = {"tenant": "alpha", "conversation": "c1"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{admin}", headers=headers) as client:
        async with client.get("/v1/participants/ada") as answer:
            assert answer.headers["Sealyard-Error"] == "store-not-shared"
        async with client.get("/v1/sessions", params=names) as answer:
            assert (await answer.json())["sessions"] == []


def prepare(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(WRITTEN_AT_THE_END)


def written_in(folder: Path) -> set[str]:
    return {name for file in folder.glob("modules.*") for name in file.read_text().split()}


async def send(port: int) -> None:
    body = {"conversationId": "c1", "content": "canary", "note": "n"}
    messages = f"http://127.0.0.1:{port}/api/messages"
    async with aiohttp.ClientSession() as client:
        async with client.post(messages, json=body) as answer:
            assert await answer.json() == body
        async with client.post(messages, json={"content": 7}) as answer:
            assert answer.headers["Sealyard-Error"] == "missing-value"


async def use(admin: int) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession() as client:
        for path in ("/readyz", "/metrics", "/v1/status", "/"):
            async with client.get(f"http://127.0.0.1:{admin}{path}", headers=headers) as answer:
                assert answer.status == 200


async def test_a_sidecar_at_work_holds_nothing_heavy(tmp_path: Path) -> None:
    more = "status_page: true, tap: true"
    found = await modules(tmp_path, sent=True, used=True, admin_more=more)

    assert "proxy.admin.routes.page" in found  # or the sidecar told of nothing
    assert not found & HEAVY
    assert found >= COMPILED


async def test_messages_import_nothing(tmp_path: Path) -> None:
    before = await modules(tmp_path / "before")

    assert await modules(tmp_path / "after", sent=True) - before == set()


async def test_operators_import_nothing(tmp_path: Path) -> None:
    found = await modules(tmp_path / "asked", asked=True)

    assert "proxy.keys.operations.session_operations" in found
    assert not found & HEAVY
    assert found - await modules(tmp_path / "not asked") == set()


async def test_rules_end_to_end_may_come_with_a_reload(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    async with a_world(tmp_path, rules=OTHER_RULES, trusted=True) as world:
        file = tmp_path / "sealyard.yaml"
        file.write_text(file.read_text().replace(OTHER_RULES, RULES))
        await world.ours.event("config.loaded", 2)

        token = await world.send(canary, "bob")

        assert await world.read(token, "bob") == canary
        assert await world.read(token, "eve") == token


async def test_rules_end_to_end_have_their_library_before_the_first_message(
    tmp_path: Path,
) -> None:
    accepted = "  sessions: {accept_loss: true}\n"

    found = await modules(tmp_path, rules=RULES, keys_more=accepted)

    assert {"joserfc", "proxy.keys.end_to_end.key_source"} <= found


async def test_rules_for_graphql_have_their_reader_before_the_first_message(
    tmp_path: Path,
) -> None:
    rules = """
      - name: operations
        match: POST /graphql
        conversation: const:c
        request: {format: graphql, encrypt: $.fields.send.note}
"""
    assert "proxy.core.formats.graphql.operations" in await modules(tmp_path, rules=rules)


async def test_traces_have_their_steps_before_the_first_message(tmp_path: Path) -> None:
    wanted = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}

    found = await modules(tmp_path, variables=wanted)

    assert {"opentelemetry", "proxy.traffic.exchange.message_spans"} <= found


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
