"""Broken environments: `serve` cannot start in any of them, and `doctor` finds each."""

from __future__ import annotations

import ast
import asyncio
import base64
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Final

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from proxy.config.settings import SecretReference
from proxy.core.errors import ConfigurationError, SealyardError
from proxy.keys.keyring.file import create_keyring
from proxy.keys.keyring.keyring import create
from proxy.keys.keyring.roots.passphrase import PassphraseRoot
from proxy.process import descriptors, fitness
from proxy.wiring.reload import config_files
from proxy.wiring.service import Service
from proxy.wiring.sidecar.sidecar import build
from tests.cli.conftest import invoke
from tests.factories import Ear
from tests.redis.server import Server, needs_redis
from tests.servers import PlainBackend, free_port
from tests.traffic.callers.test_connections import revocations

ROOT: Final = Path(__file__).parents[3]
PASSPHRASE: Final = "amber-kettle-lantern-49-quorum"


class Broken:
    """A place that works, until a test breaks it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.patch = monkeypatch
        self.held: list[socket.socket] = []
        self.servers: list[Server] = []
        self.ports = [free_port() for _ in range(3)]
        self.backend = PlainBackend(free_port())
        invoke("init", str(folder), "--upstream", f"http://127.0.0.1:{self.backend.port}")
        self.file = folder / "sealyard.yaml"
        text = self.file.read_text()
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{self.ports[0]}")
        text = text.replace("127.0.0.1:9901", f"127.0.0.1:{self.ports[1]}")
        self.file.write_text(text + f'health: {{listen: "127.0.0.1:{self.ports[2]}"}}\n')
        ca = self.ca = trustme.CA()
        issued = ca.issue_cert("localhost", "127.0.0.1")
        issued.private_key_pem.write_to_path(folder / "server.key")
        with (folder / "server.pem").open("wb") as chain:
            for one in issued.cert_chain_pems:
                chain.write(one.bytes())
        ca.cert_pem.write_to_path(folder / "ca.pem")
        other = ca.issue_cert("localhost")
        other.private_key_pem.write_to_path(folder / "other.key")

    def hold(self, port: int) -> int:
        """Listen at a port for as long as the test runs."""
        self.held.append(socket.create_server(("127.0.0.1", port)))
        return port

    def close(self) -> None:
        """End what listens."""
        self.backend.close()
        for one in self.held:
            one.close()
        for server in self.servers:
            server.kill()

    def answer(self, act: Callable[[socket.socket], object]) -> None:
        """Have a backend that does so with each connection."""
        self.hold(port := free_port())
        server = self.held[-1]

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with suppress(OSError), connection:
                        act(connection)

        Thread(target=serve, daemon=True).start()
        self.setting(f"http://127.0.0.1:{self.backend.port}", f"http://127.0.0.1:{port}")

    def path(self, name: str) -> Path:
        """Return a file of the place."""
        return self.folder / name

    def setting(self, old: str, new: str) -> None:
        """Change the configuration."""
        text = self.file.read_text()
        assert old in text, text
        self.file.write_text(text.replace(old, new, 1))

    def listener(self, more: str) -> None:
        """Add a setting to the listener."""
        self.setting("    unmatched:", f"    {more}\n    unmatched:")

    def admin(self, more: str) -> None:
        """Add a setting to the admin API."""
        self.setting("token: {file: admin.token}", f"token: {{file: admin.token}}, {more}")

    def store(self, written: str) -> None:
        """Use another store."""
        self.setting("store: memory", f"store: {written}")

    def passphrase(self, written: str) -> None:
        """Open another keyring with a passphrase, as written."""
        root = PassphraseRoot(SecretReference(env="X"), {"X": PASSPHRASE})
        self.path("keyring.jwe").unlink()
        keyring = create("", now=int(time.time()), random=os.urandom, marked=True)
        create_keyring(self.path("keyring.jwe"), keyring, root)
        self.setting("key: {file: root.key}", f"passphrase: {written}")


def rewrite(name: str, change: Callable[[str], str]) -> Callable[[Broken], None]:
    """Return what changes the text of a file of the place."""

    def broken(place: Broken) -> None:
        path = place.path(name)
        path.write_text(change(path.read_text()))

    return broken


A_SIGNER: Final = "MCowBQYDK2VwAyEAO2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik="


def member(name: str, value: object) -> Callable[[Broken], None]:
    """Return what changes a member of the keyring's file."""

    def change(text: str) -> str:
        return json.dumps({**json.loads(text), name: value})

    return rewrite("keyring.jwe", change)


def removed(name: str) -> Callable[[Broken], None]:
    """Return what removes a file."""
    return lambda place: place.path(name).unlink()


def with_mode(name: str, mode: int) -> Callable[[Broken], None]:
    """Return what gives a file another mode."""
    return lambda place: place.path(name).chmod(mode)


def as_folder(name: str) -> Callable[[Broken], None]:
    """Return what puts a folder in the place of a file."""

    def broken(place: Broken) -> None:
        place.path(name).unlink(missing_ok=True)
        place.path(name).mkdir()

    return broken


def tls(cert: str, key: str, more: str = "") -> Callable[[Broken], None]:
    """Return what gives the listener a certificate."""
    return lambda place: place.listener(f"tls: {{cert: {cert}, key: {key}{more}}}")


def upstream(more: str) -> Callable[[Broken], None]:
    """Return what gives the listener an https upstream."""

    def broken(place: Broken) -> None:
        place.setting("upstream: http://", "upstream: https://")
        place.listener(f"upstream_tls: {{{more}}}")

    return broken


def encrypted_key(place: Broken) -> None:
    key = serialization.load_pem_private_key(place.path("server.key").read_bytes(), None)
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )
    place.path("server.key").write_bytes(text)
    place.listener("tls: {cert: server.pem, key: server.key}")


def overdue_lists(place: Broken) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(place.path("clients.pem"))
    place.path("revoked.pem").write_bytes(revocations(authority, days=-1))
    tls("server.pem", "server.key", ", client_ca: clients.pem, client_crl: revoked.pem")(place)


def expired(place: Broken) -> None:
    old = place.ca.issue_cert("localhost", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    old.private_key_pem.write_to_path(place.path("server.key"))
    place.path("server.pem").write_bytes(old.cert_chain_pems[0].bytes())
    place.listener("tls: {cert: server.pem, key: server.key}")


def broken_chain(place: Broken) -> None:
    with place.path("server.pem").open("ab") as chain:
        chain.write(trustme.CA(organization_name="another").cert_pem.bytes())
    place.listener("tls: {cert: server.pem, key: server.key}")


def taken(which: int) -> Callable[[Broken], None]:
    """Return what lets somebody else listen at a port."""

    def broken(place: Broken) -> None:
        place.hold(place.ports[which])

    return broken


def listen(written: str) -> Callable[[Broken], None]:
    """Return what changes the address of the listener."""
    return lambda place: place.setting(f"127.0.0.1:{place.ports[0]}", written)


def unix_of_another(place: Broken) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(place.path("front")))
    sock.listen()
    place.held.append(sock)
    place.setting(f"127.0.0.1:{place.ports[0]}", f"unix:{place.path('front')}")


def few_files(place: Broken) -> None:
    place.patch.setattr(descriptors, "highest", lambda: 60)
    place.patch.setattr(descriptors, "provide", lambda _: 60)


def another_root(place: Broken) -> None:
    text = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=")
    place.path("root.key").write_bytes(text)


def unfit(**facts: object) -> Callable[[Broken], None]:
    """Return what lets the environment have other facts."""

    def broken(place: Broken) -> None:
        known = {"versions": {}, "c_parser": True, "optimized": False, **facts}
        found = fitness.Environment(**known)  # type: ignore[arg-type] # by name, as given
        place.patch.setattr(fitness, "look", lambda: found)

    return broken


def kubernetes(ca: str) -> Callable[[Broken], None]:
    """Return what lets the admin API review tokens by a CA."""
    return lambda place: place.admin(
        f"kubernetes: {{accounts: [{{account: a/b, scopes: [read]}}], audience: x, ca: {ca},"
        f" token_file: ca.pem, api: https://127.0.0.1:6443}}"
    )


def locked_redis(place: Broken) -> None:
    server = Server(place.folder, options=("--requirepass", "canary"))
    place.servers.append(server)
    server.start()
    place.store(f"redis://127.0.0.1:{server.port}/0")


def variable(name: str, value: str | None) -> Callable[[Broken], None]:
    """Return what sets a variable of the environment, or unsets it."""

    def broken(place: Broken) -> None:
        if value is None:
            place.patch.delenv(name, raising=False)
        else:
            place.patch.setenv(name, value)

    return broken


def both(*parts: Callable[[Broken], None]) -> Callable[[Broken], None]:
    """Return what does one after the other."""

    def broken(place: Broken) -> None:
        for part in parts:
            part(place)

    return broken


def text(name: str, content: str) -> Callable[[Broken], None]:
    """Return what writes a file that only this user may read."""

    def broken(place: Broken) -> None:
        place.path(name).write_text(content)
        place.path(name).chmod(0o600)

    return broken


def tls_backend(place: Broken) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place.path("server.pem"), place.path("server.key"))
    place.answer(lambda one: context.wrap_socket(one, server_side=True).close())


def tls_backend_that_explains(place: Broken) -> None:
    """As nginx and Go do it: what is no handshake is answered in plain HTTP."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place.path("server.pem"), place.path("server.key"))

    def act(one: socket.socket) -> None:
        if one.recv(1, socket.MSG_PEEK) == b"O":
            one.recv(4096)
            one.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request")
        else:
            context.wrap_socket(one, server_side=True).close()

    place.answer(act)


def speak_ssh(connection: socket.socket) -> None:
    """Say what a server of SSH says first."""
    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
    connection.recv(4096)


def silent_backend(place: Broken) -> None:
    """Connections are accepted by the system, and nobody reads them."""
    port = place.hold(free_port())
    place.setting(f"http://127.0.0.1:{place.backend.port}", f"http://127.0.0.1:{port}")


BROKEN: Final[dict[str, Callable[[Broken], None]]] = {
    # the configuration
    "no configuration": removed("sealyard.yaml"),
    "not YAML": rewrite("sealyard.yaml", lambda one: one + "\n]"),
    "an unknown key": rewrite("sealyard.yaml", lambda one: one + "\nfoo: 1\n"),
    "a variable that is not set": listen("${env:NOT_SET_ANYWHERE}"),
    # the environment
    "an old aiohttp": unfit(versions={"aiohttp": "3.8.0"}),
    "an old cryptography": unfit(versions={"cryptography": "41.0.0"}),
    "no C parser": unfit(c_parser=False),
    "few open files": few_files,
    # the keyring and its root
    "no keyring": removed("keyring.jwe"),
    "a keyring that is a folder": as_folder("keyring.jwe"),
    "an empty keyring": rewrite("keyring.jwe", lambda _: ""),
    "a keyring that others read": with_mode("keyring.jwe", 0o644),
    "a keyring that is too large": rewrite("keyring.jwe", lambda _: "x" * 800_000),
    "a keyring that is no JSON": rewrite("keyring.jwe", lambda one: one[:-20]),
    "a keyring of a newer version": member("sealyard", 99),
    "a keyring with another member": member("more", 1),
    "a keyring with a wrong generation": member("generation", "1"),
    "a keyring with a wrong id": member("id", "x"),
    "a keyring without a keyring": member("keyring", 1),
    "a keyring without wrappings": member("wrappings", []),
    "a keyring whose wrapping is a text": member("wrappings", ["x"]),
    "a keyring whose wrapping has no kind": member("wrappings", [{"made": 1}]),
    "a keyring with another MAC": member("mac", "A" * 43),
    "a keyring without a head": member("head", {}),
    "a keyring whose former state is a text": member(
        "head", {"wrappings": "A" * 43, "former": ["x"]}
    ),
    "a keyring that nobody signed": lambda place: place.setting(
        "key: {file: root.key}",
        f"key: {{file: root.key}}, signed_by: [{A_SIGNER}]",
    ),
    "a keyring with another digest": member("digest", "A" * 22),
    "a keyring that is one text": rewrite("keyring.jwe", lambda _: "e30.a.b.c.d"),
    "a keyring that is not pinned": lambda place: place.setting(
        "file: keyring.jwe", "file: keyring.jwe, id: AAAAAAAAAAAAAAAAAAAAAA"
    ),
    "no root key": removed("root.key"),
    "a root key that others read": with_mode("root.key", 0o640),
    "a root key that is none": rewrite("root.key", lambda _: "short\n"),
    "another root key": another_root,
    "a root key that is a folder": as_folder("root.key"),
    "a passphrase that is not set": both(
        variable("NO_PASSPHRASE", None), lambda place: place.passphrase("{env: NO_PASSPHRASE}")
    ),
    "a passphrase that is not that of the keyring": both(
        text("pass", PASSPHRASE + "!"), lambda place: place.passphrase("{file: pass}")
    ),
    "a passphrase file that is empty": both(
        text("pass", "\n"), lambda place: place.passphrase("{file: pass}")
    ),
    "a passphrase file that is too long": both(
        text("pass", "x" * 70_000), lambda place: place.passphrase("{file: pass}")
    ),
    # TLS
    "no certificate": tls("gone.pem", "server.key"),
    "no key of a certificate": tls("server.pem", "gone.key"),
    "the key of another certificate": tls("server.pem", "other.key"),
    "a certificate that is none": tls("root.key", "server.key"),
    "a key that is encrypted": encrypted_key,
    "no CA of clients": tls("server.pem", "server.key", ", client_ca: gone.pem"),
    "a CA of clients that is none": tls("server.pem", "server.key", ", client_ca: root.key"),
    "no revocation lists of clients": tls(
        "server.pem", "server.key", ", client_ca: server.pem, client_crl: gone.pem"
    ),
    "revocation lists of clients that are none": tls(
        "server.pem", "server.key", ", client_ca: server.pem, client_crl: root.key"
    ),
    "revocation lists with certificates beside them": tls(
        "server.pem", "server.key", ", client_ca: server.pem, client_crl: server.pem"
    ),
    "no CA of the upstream": upstream("ca: gone.pem"),
    "a CA of the upstream that is none": upstream("ca: admin.token"),
    "no client certificate": upstream("cert: gone.pem, key: server.key"),
    # the admin API
    "no admin token": removed("admin.token"),
    "an admin token that others read": with_mode("admin.token", 0o644),
    "an admin token that is short": rewrite("admin.token", lambda _: "abc"),
    "an admin token with a blank": rewrite("admin.token", lambda _: "a b" * 20),
    "an admin token that is not set": both(
        variable("NO_TOKEN", None),
        lambda place: place.setting("token: {file: admin.token}", "token: {env: NO_TOKEN}"),
    ),
    "no certificate of the admin API": lambda place: place.admin(
        "tls: {cert: gone.pem, key: server.key}"
    ),
    "no CA of the cluster": kubernetes("gone.pem"),
    "a CA of the cluster that is none": kubernetes("root.key"),
    "probes that are malformed": variable("SEALYARD_APP_PROBES", "{"),
    # addresses
    "a port that is taken": taken(0),
    "an admin port that is taken": taken(1),
    "a health port that is taken": taken(2),
    "an address of another machine": listen("192.0.2.1:8080"),
    "a name that is unknown": listen("no-such-host.invalid:8080"),
    "a socket in no folder": listen("unix:/nowhere/at/all/front"),
    "a socket whose path is too long": listen("unix:/tmp/" + "x" * 120),
    "a socket that is a file": lambda place: listen(f"unix:{place.path('root.key')}")(place),
    "a socket of another process": unix_of_another,
    # the store
    "a store in no folder": lambda place: place.store("sqlite:gone/store.db"),
    "a store that is a folder": both(
        as_folder("store.db"), lambda place: place.store("sqlite:store.db")
    ),
    "a store that others read": both(
        text("store.db", ""), with_mode("store.db", 0o644), lambda one: one.store("sqlite:store.db")
    ),
    "a store that is no database": both(
        text("store.db", "x" * 5000), lambda place: place.store("sqlite:store.db")
    ),
    "a password of Redis that is missing": lambda place: place.store(
        "{redis: 'redis://127.0.0.1:1/0', password: {file: gone}}"
    ),
    "a CA of Redis that is missing": lambda place: place.store(
        "{redis: 'rediss://127.0.0.1:1/0', ca: gone.pem}"
    ),
    "a Redis that wants a password": locked_redis,
    # the audit log
    "an audit log in no folder": lambda place: place.setting("audit.log", "gone/audit.log"),
    "an audit log that is a folder": as_folder("audit.log"),
    "an audit log that is a link": both(
        as_folder("audit.log"),
        lambda place: place.path("audit.log").rmdir(),
        lambda place: place.path("audit.log").symlink_to(place.path("root.key")),
    ),
}

STARTS: Final[dict[str, Callable[[Broken], None]]] = {
    "an expired certificate": expired,
    "a broken chain": broken_chain,
    "revocation lists that are overdue": overdue_lists,
    "an upstream that is down": lambda place: place.backend.close(),
    "an http upstream that speaks TLS": tls_backend,
    "an http upstream that speaks TLS and says so": tls_backend_that_explains,
    "an upstream that never answers": silent_backend,
    "an upstream that closes": lambda place: place.answer(lambda one: one.recv(4096)),
    "an upstream that speaks SSH": lambda place: place.answer(speak_ssh),
    "an https upstream that speaks plain HTTP": lambda place: place.setting(
        "upstream: http://", "upstream: https://"
    ),
    "an identity without its file": lambda place: place.setting(
        "keys:\n", "keys:\n  identities: [{participant: bob, file: gone.jwe}]\n"
    ),
}
"""`serve` starts, and clients or messages fail: `doctor` finds these as well."""


pytestmark = needs_redis


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broken]:
    made = Broken(tmp_path, monkeypatch)
    yield made
    made.close()


async def starts(file: Path) -> SealyardError | None:
    """Start all that `serve` starts, and stop it; return the error that it ends with."""
    try:
        fitness.require()
        source = config_files.read(file, os.environ)
        reporter = Ear()
        carrier = await build(source.loaded, reporter, environ=os.environ, accepted=None)
        service = Service(source, carrier, reporter, environ=os.environ)
        await service.start()
    except SealyardError as error:
        return error
    await service.close()
    return None


def findings(file: Path, *, status: int) -> list[dict[str, str]]:
    """Return what `doctor` finds."""
    found = invoke("doctor", "--json", "--config", str(file), status=status)
    return list(json.loads(found.stdout))


def test_a_place_that_works_starts_and_has_a_clean_doctor(place: Broken) -> None:
    assert asyncio.run(starts(place.file)) is None
    assert [one for one in findings(place.file, status=0) if one["verdict"] == "failed"] == []


@pytest.mark.parametrize("name", BROKEN)
def test_what_keeps_serve_from_starting_is_found_by_doctor(place: Broken, name: str) -> None:
    BROKEN[name](place)
    error = asyncio.run(starts(place.file))

    assert error is not None
    found = [one for one in findings(place.file, status=3) if one["verdict"] == "failed"]
    assert found, name
    if not isinstance(error, ConfigurationError) and found[0]["check"] != "environment":
        for one in found:
            if one["check"] not in {"open files", "upstream"}:
                assert one["place"].startswith(str(place.file)), one


@pytest.mark.parametrize("name", STARTS)
def test_what_fails_once_serve_has_started_is_found_too(place: Broken, name: str) -> None:
    STARTS[name](place)
    assert asyncio.run(starts(place.file)) is None
    assert any(one["verdict"] == "failed" for one in findings(place.file, status=3)), name


UPSTREAMS: Final = {
    "an upstream that is down": "Connection refused; start the backend there",
    "an http upstream that speaks TLS": "speaks TLS; write https://",
    "an http upstream that speaks TLS and says so": "speaks TLS; write https://",
    "an https upstream that speaks plain HTTP": "no TLS handshake; write http://",
    "an upstream that never answers": "accepts connections and answers nothing within 2 s",
    "an upstream that closes": "closes connections without an answer; read its log",
    "an upstream that speaks SSH": "answers, but not in HTTP/1.1; correct the address",
}


@pytest.mark.parametrize("name", UPSTREAMS)
def test_of_an_upstream_is_told_what_where_and_what_to_do(place: Broken, name: str) -> None:
    STARTS[name](place)
    (found,) = (one for one in findings(place.file, status=3) if one["check"] == "upstream")

    assert found["verdict"] == "failed"
    assert UPSTREAMS[name] in found["text"]
    assert found["place"].startswith(f"{place.file}:")
    assert found["mend"].startswith("curl -v --max-time 5 http")


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660])
def test_a_private_key_of_tls_that_others_may_touch_is_warned_of(place: Broken, mode: int) -> None:
    place.listener("tls: {cert: server.pem, key: server.key}")
    place.path("server.key").chmod(0o640)
    assert not [one for one in findings(place.file, status=0) if "lets others" in one["text"]]
    place.path("server.key").chmod(mode)

    (found,) = (one for one in findings(place.file, status=0) if "lets others" in one["text"])

    assert (found["check"], found["verdict"]) == ("tls", "warning")
    assert found["mend"] == f"chmod 600 {place.path('server.key')}"
    assert found["place"].startswith(f"{place.file}:")


# --- every error of a start ---------------------------------------------------------------------


def errors_of_a_start() -> set[tuple[str, str]]:
    """Return every file and function that raises an error of the environment or the keyring."""
    files = [
        *map(ROOT.joinpath, ["proxy/admin/auth/tokens.py", "proxy/admin/routes/app_probes.py"]),
        *map(ROOT.joinpath, ["proxy/traffic/tls.py", "proxy/traffic/downstream/sockets.py"]),
        *map(ROOT.joinpath, ["proxy/wiring/reload/material.py", "proxy/keys/keyring/file.py"]),
        *map(ROOT.joinpath, ["proxy/process/fitness.py", "proxy/process/descriptors.py"]),
        ROOT / "proxy/wiring/sidecar/session_facts.py",
        ROOT / "proxy/keys/keyring/roots/file.py",
        ROOT / "proxy/keys/keyring/roots/passphrase.py",
        ROOT / "proxy/keys/private_file.py",
    ]
    return {
        (str(file.relative_to(ROOT)), function.name)
        for file in files
        for function in ast.walk(ast.parse(file.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and _raises(function)
    }


def _raises(function: ast.AST) -> bool:
    return any(
        isinstance(one, ast.Raise)
        and isinstance(one.exc, ast.Call)
        and isinstance(one.exc.func, ast.Name)
        and one.exc.func.id in {"UnfitEnvironment", "AddressUnavailable", "KeyringError"}
        for one in ast.walk(function)
    )


ELSEWHERE: Final = {
    ("proxy/keys/private_file.py", "_refuse_list"),  # needs a file system with access lists
    ("proxy/keys/private_file.py", "locked"),  # of commands that write
    ("proxy/keys/private_file.py", "write"),  # of commands that write
    ("proxy/keys/keyring/roots/file.py", "create_root_file"),  # of commands that write
    ("proxy/keys/keyring/roots/passphrase.py", "take_over"),  # of workers, from their supervisor
    ("proxy/keys/keyring/file.py", "create_keyring"),  # of commands that write
    ("proxy/keys/keyring/file.py", "add_signature"),  # of commands that write
    ("proxy/keys/keyring/file.py", "read_form"),  # of `keys roots list`
}
"""What no start reaches, or none here."""


def test_together_they_reach_every_error_of_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: set[tuple[str, str]] = set()
    plain = SealyardError.__init__

    def noted(self: SealyardError, reason: str = "", *, detail: str = "") -> None:
        frame = sys._getframe(1)  # who made the error, whoever raises it later
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(ROOT):
            reached.add((str(file.relative_to(ROOT)), frame.f_code.co_name))
        plain(self, reason, detail=detail)

    monkeypatch.setattr(SealyardError, "__init__", noted)
    for number, broken in enumerate(BROKEN.values()):
        with monkeypatch.context() as patch:
            place = Broken(tmp_path / str(number), patch)
            broken(place)
            error = asyncio.run(starts(place.file))
            place.close()
        assert error is not None

    assert errors_of_a_start() - reached - ELSEWHERE == set()
    assert len(BROKEN) >= 60
