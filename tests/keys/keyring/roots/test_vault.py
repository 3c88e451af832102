"""Vault: a real OpenBao, with every login that it has, and everything that it refuses."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from joserfc import jwt
from joserfc.jwk import RSAKey

from proxy.config.settings import SecretReference
from proxy.config.settings.roots.vault import (
    AppRoleLogin,
    CertificateLogin,
    JwtLogin,
)
from proxy.core.errors import KeyringError
from proxy.keys.keyring.roots.vault import VaultRoot
from proxy.keys.keyring.roots.vault_client import VaultClient
from proxy.keys.policy import ANSWER_BYTES
from tests.contracts.root_service import holds_the_contract
from tests.keys.keyring.roots.openbao import KEY, OpenBao, needs_openbao, running
from tests.servers import free_port

pytestmark = needs_openbao
CANARY = b"canary of a root key"
ID, OTHER = "A" * 22, "B" * 22


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """Run OpenBao."""
    with running(tmp_path_factory.mktemp("openbao")) as server:
        yield server


@pytest.fixture
def maker(bao: OpenBao, tmp_path: Path) -> VaultRoot:
    """A root of who makes keyrings."""
    return bao.root(bao.login(tmp_path / "maker", "maker"))


@pytest.fixture
def opener(bao: OpenBao, tmp_path: Path) -> VaultRoot:
    """A root of a sidecar, which may only decrypt."""
    return bao.root(bao.login(tmp_path / "opener", "opener"))


def refusal(attempt: Callable[[], object]) -> str:
    """Return why an attempt was refused."""
    with pytest.raises(KeyringError) as refused:
        attempt()
    assert "canary" not in str(refused.value)
    return refused.value.reason


@contextmanager
def http_server(
    answer: Callable[[str, bytes], tuple[int, bytes]],
    context: ssl.SSLContext | None = None,
    location: str = "",
) -> Iterator[int]:
    """Run a server that answers a path and a body with a status and a body; give its port."""

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = answer(self.path, asked)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = reply  # noqa: N815 - the base class names them

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


# --- wrapping -------------------------------------------------------------------------------------


def test_what_an_operator_wraps_a_sidecar_opens_and_cannot_wrap(
    maker: VaultRoot, opener: VaultRoot
) -> None:
    members = maker.wrap(CANARY, ID)

    assert set(members) == {"ct"}
    assert opener.unwrap(members, ID) == CANARY
    assert f"its policy lacks `update` on `transit/encrypt/{KEY}`" in refusal(
        lambda: opener.wrap(CANARY, ID)
    )


def test_a_root_in_vault_behaves_as_a_root(bao: OpenBao, tmp_path: Path) -> None:
    bao.make_key("other")
    everything = bao.login(tmp_path / "all", "root")

    holds_the_contract(bao.root(everything), bao.root(everything, key="other"), tmp_path)


def test_another_keyring_and_another_key_have_a_reason(bao: OpenBao, tmp_path: Path) -> None:
    bao.make_key("third")
    everything = bao.login(tmp_path / "all", "root")
    members = bao.root(everything).wrap(CANARY, ID)

    for root, named in ((bao.root(everything), OTHER), (bao.root(everything, key="third"), ID)):
        reason = refusal(lambda root=root, named=named: root.unwrap(members, named))  # type: ignore[misc] # it binds the loop's
        assert "another key of this name, or for another keyring" in reason


def test_the_name_of_a_root_has_no_address(bao: OpenBao, tmp_path: Path) -> None:
    login = bao.login(tmp_path / "token", "opener")

    assert bao.root(login).key == "transit/sealyard"
    assert bao.root(login, namespace="team", mount="a/b").key == "team/a/b/sealyard"


@pytest.mark.parametrize(
    "ciphertext",
    [
        "",
        "vault:v1:",
        "vault:v1:canary!",
        "vault:v0:AAAA",
        "vault:v1:AAAA\n",
        "vault:v1:AAAA\nAAAA",
        "http://127.0.0.1:1/",
        "vault:v1:" + "A" * 2000,
        7,
    ],
)
def test_other_ciphertexts_are_refused_without_a_call(
    opener: VaultRoot, bao: OpenBao, ciphertext: str | int
) -> None:
    before = bao.requests("transit")

    assert "no ciphertext of Vault" in refusal(lambda: opener.unwrap({"ct": ciphertext}, ID))
    assert bao.requests("transit") == before


def test_a_wrapping_cannot_name_a_server_or_a_key(maker: VaultRoot) -> None:
    members = maker.wrap(CANARY, ID)
    for name in ("address", "key", "mount", "namespace"):
        changed = {**members, name: "http://127.0.0.1:1/"}
        assert "unknown members" in refusal(lambda changed=changed: maker.unwrap(changed, ID))  # type: ignore[misc] # it binds the loop's


def test_a_key_that_ignores_the_context_wraps_nothing(bao: OpenBao, tmp_path: Path) -> None:
    bao.make_key("flat", derived=False)
    root = bao.root(bao.login(tmp_path / "all", "root"), key="flat")

    assert "derived=true" in refusal(lambda: root.wrap(CANARY, ID))


def test_a_missing_key_is_not_made_by_the_way(bao: OpenBao, tmp_path: Path) -> None:
    root = bao.root(bao.login(tmp_path / "all", "root"), key="missing")

    assert "there is no such key" in refusal(lambda: root.wrap(CANARY, ID))
    assert bao.ask("transit/keys/missing", None).status == 404


def test_versions_of_a_key(bao: OpenBao, tmp_path: Path) -> None:
    bao.make_key("aging")
    root = bao.root(bao.login(tmp_path / "all", "root"), key="aging")
    first = root.wrap(CANARY, ID)
    bao.done("transit/keys/aging/rotate", {})
    second = root.wrap(CANARY, ID)

    assert str(second["ct"]).startswith("vault:v2:")
    assert root.unwrap(first, ID) == root.unwrap(second, ID) == CANARY
    bao.done("transit/keys/aging/config", {"min_decryption_version": 2})
    assert "min_decryption_version" in refusal(lambda: root.unwrap(first, ID))
    assert root.unwrap(second, ID) == CANARY
    later = {"ct": str(second["ct"]).replace("vault:v2:", "vault:v3:")}
    assert "no such version" in refusal(lambda: root.unwrap(later, ID))
    bao.done("transit/keys/aging/soft-delete", None, "DELETE")
    assert "deleted softly" in refusal(lambda: root.unwrap(second, ID))
    bao.done("transit/keys/aging/soft-delete-restore", {})
    assert root.unwrap(second, ID) == CANARY
    bao.done("transit/keys/aging/config", {"deletion_allowed": True})
    bao.done("transit/keys/aging", None, "DELETE")
    assert "there is no such key" in refusal(lambda: root.unwrap(second, ID))


# --- logins ---------------------------------------------------------------------------------------


def test_a_token_is_read_anew_each_time(bao: OpenBao, maker: VaultRoot, tmp_path: Path) -> None:
    members = maker.wrap(CANARY, ID)
    path = tmp_path / "token"
    root = bao.root(bao.login(path, "opener"))
    assert root.unwrap(members, ID) == CANARY

    bao.done("auth/token/revoke", {"token": path.read_text().strip()})
    assert "has expired or was revoked" in refusal(lambda: root.unwrap(members, ID))
    bao.login(path, "opener")
    assert root.unwrap(members, ID) == CANARY


@pytest.mark.parametrize("content", ["", "\n", "two\nlines", "\xff", "a" * 9000])
def test_what_is_no_token_is_not_sent(bao: OpenBao, tmp_path: Path, content: str) -> None:
    root = bao.root(bao.login(tmp_path / "token", "opener"))
    (tmp_path / "token").write_text(content)
    before = bao.requests()

    assert str(tmp_path / "token") in refusal(lambda: root.unwrap({"ct": "vault:v1:AAAA"}, ID))
    assert bao.requests() == before


def test_a_token_that_others_can_read_is_refused(bao: OpenBao, tmp_path: Path) -> None:
    root = bao.root(bao.login(tmp_path / "token", "opener"))
    (tmp_path / "token").chmod(0o644)

    assert "lets others in" in refusal(lambda: root.unwrap({"ct": "vault:v1:AAAA"}, ID))


def test_an_approle_logs_in(bao: OpenBao, maker: VaultRoot, tmp_path: Path) -> None:
    bao.done("sys/auth/approle", {"type": "approle"})
    role = "auth/approle/role/sidecar"
    bao.done(role, {"token_policies": "opener", "token_ttl": "60s"})
    role_id = bao.done(f"{role}/role-id", None)["role_id"]
    secret = tmp_path / "secret_id"
    secret.write_text(bao.done(f"{role}/secret-id", {})["secret_id"])
    secret.chmod(0o600)
    root = bao.root(AppRoleLogin(role_id, SecretReference(file=secret)))
    members = maker.wrap(CANARY, ID)

    assert root.unwrap(members, ID) == CANARY
    secret.write_text("canary-of-a-secret-id")
    assert "the secret id is wrong" in refusal(lambda: root.unwrap(members, ID))


def test_the_token_of_a_login_ends_with_the_call(
    bao: OpenBao, maker: VaultRoot, tmp_path: Path
) -> None:
    bao.done("sys/auth/short", {"type": "approle"})
    bao.done("auth/short/role/sidecar", {"token_policies": "opener", "bind_secret_id": True})
    role_id = bao.done("auth/short/role/sidecar/role-id", None)["role_id"]
    secret = tmp_path / "secret_id"
    secret.write_text(bao.done("auth/short/role/sidecar/secret-id", {})["secret_id"])
    secret.chmod(0o600)
    root = bao.root(AppRoleLogin(role_id, SecretReference(file=secret), "short"))
    members = maker.wrap(CANARY, ID)
    before = len(bao.done("auth/token/accessors", None, "LIST")["keys"])
    for _ in range(3):
        assert root.unwrap(members, ID) == CANARY

    assert len(bao.done("auth/token/accessors", None, "LIST")["keys"]) == before


def a_key() -> RSAKey:
    return RSAKey.generate_key(2048)


def a_jwt(key: RSAKey, **claims: object) -> str:
    now = int(time.time())
    return jwt.encode({"alg": "RS256"}, {"iat": now, "exp": now + 300, **claims}, key)


def test_a_jwt_of_an_issuer_logs_in(bao: OpenBao, maker: VaultRoot, tmp_path: Path) -> None:
    key, token = a_key(), tmp_path / "token"
    bao.done("sys/auth/jwt", {"type": "jwt"})
    pem = key.as_pem(private=False).decode()
    bao.done("auth/jwt/config", {"jwt_validation_pubkeys": [pem], "bound_issuer": "spire"})
    role = {"role_type": "jwt", "user_claim": "sub", "token_policies": "opener"}
    bao.done(
        "auth/jwt/role/sidecar",
        role | {"bound_audiences": ["vault"], "bound_subject": "spiffe://clinic/shop"},
    )
    claims = {"iss": "spire", "aud": "vault", "sub": "spiffe://clinic/shop"}
    root = bao.root(JwtLogin("sidecar", str(token), "jwt"))
    members = maker.wrap(CANARY, ID)
    token.write_text(a_jwt(key, **claims))

    assert root.unwrap(members, ID) == CANARY
    for wrong in (
        a_jwt(key, **{**claims, "sub": "spiffe://clinic/canary"}),
        a_jwt(key, **{**claims, "aud": "canary"}),
        a_jwt(a_key(), **claims),
        "canary",
    ):
        token.write_text(wrong)
        assert "does not accept the token" in refusal(lambda: root.unwrap(members, ID))
    token.write_text(a_jwt(key, **claims))  # the platform rotates it
    assert root.unwrap(members, ID) == CANARY


@contextmanager
def token_reviews(bao: OpenBao, accepted: str) -> Iterator[str]:
    """Run an API server that reviews the tokens of service accounts; give its address."""

    def review(path: str, body: bytes) -> tuple[int, bytes]:
        asked = json.loads(body)
        good = path.endswith("/tokenreviews") and asked["spec"]["token"] == accepted
        user = {"username": "system:serviceaccount:shop:web", "uid": "1", "groups": []}
        found = {"user": user, "audiences": asked["spec"].get("audiences", [])}
        status = {"authenticated": good, **(found if good else {"error": "invalid"})}
        return 201, json.dumps({**asked, "status": status}).encode()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bao.folder / "server.pem", bao.folder / "server.key")
    with http_server(review, context) as port:
        yield f"https://127.0.0.1:{port}"


def test_a_service_account_logs_in(bao: OpenBao, maker: VaultRoot, tmp_path: Path) -> None:
    # The shape of a projected token: OpenBao reads namespace and name in it before it asks.
    account = {"namespace": "shop", "serviceaccount": {"name": "web", "uid": "1"}}
    claims = {"sub": "system:serviceaccount:shop:web", "kubernetes.io": account, "aud": ["vault"]}
    good, token = a_jwt(a_key(), **claims), tmp_path / "token"
    members = maker.wrap(CANARY, ID)
    with token_reviews(bao, good) as api:
        bao.done("sys/auth/kubernetes", {"type": "kubernetes"})
        config = {
            "kubernetes_host": api,
            "kubernetes_ca_cert": (bao.folder / "ca.pem").read_text(),
            "token_reviewer_jwt": good,
            "disable_local_ca_jwt": True,
        }
        bao.done("auth/kubernetes/config", config)
        role = {
            "bound_service_account_names": ["web"],
            "bound_service_account_namespaces": ["shop"],
            "token_policies": "opener",
        }
        bao.done("auth/kubernetes/role/sidecar", role)
        root = bao.root(JwtLogin("sidecar", str(token), "kubernetes"))
        token.write_text(good)
        assert root.unwrap(members, ID) == CANARY
        token.write_text(a_jwt(a_key(), **claims))
        assert "does not accept the token" in refusal(lambda: root.unwrap(members, ID))
        token.write_text(good)
        other = bao.root(JwtLogin("another", str(token), "kubernetes"))
        assert "role `another` is missing" in refusal(lambda: other.unwrap(members, ID))


def client_certificate(authority: trustme.CA, folder: Path) -> CertificateLogin:
    issued = authority.issue_cert("web.shop", common_name="web")
    issued.cert_chain_pems[0].write_to_path(folder / "client.pem")
    issued.private_key_pem.write_to_path(folder / "client.key")
    (folder / "client.key").chmod(0o600)
    return CertificateLogin(folder / "client.pem", folder / "client.key")


def test_a_client_certificate_logs_in(bao: OpenBao, maker: VaultRoot, tmp_path: Path) -> None:
    clients = trustme.CA()
    bao.done("sys/auth/cert", {"type": "cert"})
    role = {
        "certificate": clients.cert_pem.bytes().decode(),
        "allowed_common_names": ["web"],
        "token_policies": "opener",
    }
    bao.done("auth/cert/certs/sidecar", role)
    login = client_certificate(clients, tmp_path)
    tls: dict[str, Any] = {"address": bao.tls_url, "ca": bao.folder / "ca.pem"}
    members = maker.wrap(CANARY, ID)

    for role_name in ("", "sidecar"):
        named = CertificateLogin(login.cert, login.key, role_name)
        assert bao.root(named, **tls).unwrap(members, ID) == CANARY
    stranger = client_certificate(trustme.CA(), tmp_path)
    assert "no role accepts" in refusal(lambda: bao.root(stranger, **tls).unwrap(members, ID))
    login.key.chmod(0o644)
    assert "lets others in" in refusal(lambda: bao.root(login, **tls).unwrap(members, ID))
    login.key.chmod(0o600)
    login.key.write_text("canary")
    assert "private key" in refusal(lambda: bao.root(login, **tls).unwrap(members, ID))


def test_a_mount_that_is_not_there_is_named(
    bao: OpenBao, opener: VaultRoot, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("a.b.c")
    for attempt, named in (
        (bao.root(JwtLogin("sidecar", str(token), "nowhere")), "auth/nowhere"),
        (bao.root(bao.login(tmp_path / "all", "root"), mount="nowhere"), "nowhere/sealyard"),
    ):
        reason = refusal(lambda attempt=attempt: attempt.unwrap({"ct": "vault:v1:AAAA"}, ID))  # type: ignore[misc] # it binds the loop's
        assert named in reason
        assert "is mounted there" in reason


# --- namespaces -----------------------------------------------------------------------------------


def test_a_namespace_has_its_own_key_and_tokens(bao: OpenBao, tmp_path: Path) -> None:
    for name in ("team", "rivals"):
        bao.done(f"sys/namespaces/{name}", {})
        bao.done("sys/mounts/transit", {"type": "transit"}, namespace=name)
        bao.make_key(namespace=name)
        bao.policy("everything", 'path "*" { capabilities = ["update"] }', namespace=name)
    mine = bao.login(tmp_path / "mine", "everything", namespace="team")
    theirs = bao.login(tmp_path / "theirs", "everything", namespace="rivals")
    members = bao.root(mine, namespace="team").wrap(CANARY, ID)

    assert bao.root(mine, namespace="team").unwrap(members, ID) == CANARY
    for root, text in (
        (bao.root(theirs, namespace="rivals"), "another key of this name"),
        (bao.root(mine, namespace="rivals"), "denied"),
        (bao.root(mine), "denied"),
        (bao.root(mine, namespace="nowhere"), "there is no such namespace"),
    ):
        assert text in refusal(lambda root=root: root.unwrap(members, ID))  # type: ignore[misc] # it binds the loop's


# --- the state of the server ----------------------------------------------------------------------


def test_a_sealed_server_says_so_and_opens_again(
    bao: OpenBao, maker: VaultRoot, opener: VaultRoot
) -> None:
    members = maker.wrap(CANARY, ID)
    bao.seal()
    try:
        assert "it is sealed: unseal it" in refusal(lambda: opener.unwrap(members, ID))
    finally:
        bao.unseal()
    assert opener.unwrap(members, ID) == CANARY


def test_a_server_that_is_gone_or_silent_has_a_reason(
    bao: OpenBao, opener: VaultRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {"ct": "vault:v1:AAAA"}
    monkeypatch.setattr(VaultClient.ask, "__kwdefaults__", {"seconds": 0.5})
    bao.pause()
    try:
        assert "no answer in time" in refusal(lambda: opener.unwrap(members, ID))
    finally:
        bao.resume()
    gone = bao.root(opener.options.login, address=f"http://127.0.0.1:{free_port()}")
    assert "refuses connections" in refusal(lambda: gone.unwrap(members, ID))


def test_a_server_of_another_ca_is_not_asked(bao: OpenBao, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    login = bao.login(tmp_path / "token", "opener")
    for ca, text in (
        (tmp_path / "other.pem", "not trusted"),
        (None, "not trusted"),
        (tmp_path / "no.pem", "not a CA"),
    ):
        root = bao.root(login, address=bao.tls_url, ca=ca)
        assert text in refusal(lambda root=root: root.unwrap({"ct": "vault:v1:AAAA"}, ID))  # type: ignore[misc] # it binds the loop's


def test_a_standby_forwards_and_says_when_none_leads(tmp_path: Path) -> None:
    for name in ("leader", "standby"):
        (tmp_path / name).mkdir()
    with running(tmp_path / "leader") as leader:
        standby = OpenBao(tmp_path / "standby", leader=leader)
        try:
            standby.start()
            login = leader.login(tmp_path / "maker", "maker")
            members = leader.root(login).wrap(CANARY, ID)
            assert standby.root(login).unwrap(members, ID) == CANARY
            leader.kill()
            # It redirects to the dead one until it knows that there is none.
            reason = refusal(lambda: standby.root(login).unwrap(members, ID))
            assert "it is a standby" in reason
            assert "active server" in reason
        finally:
            standby.kill()


def test_a_rate_limit_is_named(bao: OpenBao, opener: VaultRoot) -> None:
    bao.done("sys/quotas/rate-limit/few", {"path": "transit", "rate": 0.01})
    try:
        asked = [refusal(lambda: opener.unwrap({"ct": "vault:v1:AAAA"}, ID)) for _ in range(3)]
    finally:
        bao.done("sys/quotas/rate-limit/few", None, "DELETE")
    assert "rate limit" in asked[-1]


@contextmanager
def double(status: int, body: bytes, location: str = "") -> Iterator[tuple[str, list[str]]]:
    """Run what answers everything alike; give its address, and a list of what was asked."""
    asked: list[str] = []

    def answer(path: str, _: bytes) -> tuple[int, bytes]:
        asked.append(path)
        return status, body

    with http_server(answer, location=location) as port:
        yield f"http://127.0.0.1:{port}", asked


NO_LEADER = b'{"errors": ["local node not active but active cluster node not found"]}'


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (307, b"", "not followed"),
        (301, b"", "not followed"),
        (500, NO_LEADER, "without an active server"),
        (503, NO_LEADER, "without an active server"),
        (472, b"", "disaster recovery"),
        (473, b"", "performance standby"),
        (500, b'{"errors": ["canary"]}', "status 500"),
        (502, b"<html>canary</html>", "status 502"),
        (503, b"canary", "status 503"),
        (404, b"canary", "status 404"),
        (400, b'{"errors": ["canary"]}', "status 400"),
        (418, b"[]", "status 418"),
        (200, b"canary", "no plaintext"),
        (200, b'{"data": "canary"}', "no plaintext"),
        (200, b'{"data": {"plaintext": 7}}', "no plaintext"),
        (200, b'{"data": {"plaintext": "canary!"}}', "not base64"),
        (200, b"x" * (ANSWER_BYTES + 1), "more than"),
        (200, b"[" * 60_000, "no plaintext"),
    ],
)
def test_answers_that_open_nothing_have_a_reason_and_show_nothing(
    bao: OpenBao, tmp_path: Path, status: int, body: bytes, reason: str
) -> None:
    login = bao.login(tmp_path / "token", "opener")
    with double(status, body, f"{bao.url}/v1/transit/decrypt/sealyard") as (url, asked):
        root = bao.root(login, address=url)
        assert reason in refusal(lambda: root.unwrap({"ct": "vault:v1:AAAA"}, ID))
    assert asked == ["/v1/transit/decrypt/sealyard"]


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b"canary", "gives no token"),
        (200, b'{"auth": null}', "gives no token"),
        (200, b'{"auth": {"client_token": ""}}', "gives no token"),
        (200, b'{"auth": {"client_token": "canary\nX: y"}}', "gives no token"),
        (200, b'{"auth": {"client_token": 7}}', "gives no token"),
        (503, b'{"errors": ["Vault is sealed"]}', "it is sealed"),
        (307, b"", "not followed"),
    ],
)
def test_a_login_that_gives_nothing_has_a_reason_and_shows_nothing(
    bao: OpenBao, tmp_path: Path, status: int, body: bytes, reason: str
) -> None:
    token = tmp_path / "token"
    token.write_text("canary-of-a-service-account")
    with double(status, body, bao.url) as (url, asked):
        root = bao.root(JwtLogin("sidecar", str(token), "kubernetes"), address=url)
        assert reason in refusal(lambda: root.unwrap({"ct": "vault:v1:AAAA"}, ID))
        assert "canary" not in repr(root)
    assert asked == ["/v1/auth/kubernetes/login"]
