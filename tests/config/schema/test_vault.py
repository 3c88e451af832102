"""The options of the root `vault`: each login, and what is refused in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.settings import SecretReference
from proxy.config.settings.roots.vault import (
    AppRoleLogin,
    CertificateLogin,
    JwtLogin,
    KubernetesLogin,
    TokenLogin,
    VaultLogin,
    VaultOptions,
)
from tests.config.builders import changed, loaded, problems_of

FOLDER = Path("/etc/sealyard")
TOKEN = SecretReference(file=FOLDER / "token")
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/token"


def with_vault(options: str) -> str:
    """Return a configuration with a Vault root of these options."""
    pinned = "id: AAAAAAAAAAAAAAAAAAAAAA"
    return changed("passphrase: {env: P}", f"{pinned}, vault: {{{options}}}")


def options_of(options: str) -> object:
    """Return what the options load as."""
    (root,) = loaded(with_vault(options)).settings.keys.keyring.roots
    assert root.kind == "vault"
    return root.options


SERVER = "address: 'https://vault.example:8200/', key: sealyard"


@pytest.mark.parametrize(
    ("written", "login"),
    [
        ("token: {file: token}", TokenLogin(TOKEN)),
        ("kubernetes: {role: r}", KubernetesLogin("r", ACCOUNT)),
        (
            "kubernetes: {role: r, mount: k8s/eu, token: t}",
            KubernetesLogin("r", str(FOLDER / "t"), "k8s/eu"),
        ),
        ("jwt: {role: r, token: /run/jwt}", JwtLogin("r", "/run/jwt", "jwt")),
        ("approle: {role_id: i, secret_id: {file: token}}", AppRoleLogin("i", TOKEN, "approle")),
        (
            "cert: {cert: c.pem, key: c.key}",
            CertificateLogin(FOLDER / "c.pem", FOLDER / "c.key"),
        ),
        (
            "cert: {cert: c.pem, key: c.key, role: r, mount: /tls/}",
            CertificateLogin(FOLDER / "c.pem", FOLDER / "c.key", "r", "tls"),
        ),
    ],
)
def test_each_login_is_read(written: str, login: VaultLogin) -> None:
    address = "https://vault.example:8200"

    assert options_of(f"{SERVER}, {written}") == VaultOptions(address, "sealyard", login)


def test_all_options_are_read() -> None:
    more = "mount: kv/transit/, namespace: team/a, ca: ca.pem, token: {file: token}"
    address = "https://vault.example:8200"

    assert options_of(f"{SERVER}, {more}") == VaultOptions(
        address, "sealyard", TokenLogin(TOKEN), "kv/transit", "team/a", FOLDER / "ca.pem"
    )


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("key: k, token: {file: t}", "lacks the key `address`"),
        ("address: 'https://v', token: {file: t}", "lacks the key `key`"),
        ("address: 'https://v', key: k", "lacks a key; write one of `token`, `kubernetes`"),
        (
            "address: 'https://v', key: k, token: {file: t}, jwt: {role: r, token: t}",
            "give only one",
        ),
        ("address: 'http://v.example', key: k, token: {file: t}", "is not encrypted"),
        ("address: 'https://u:p@v', key: k, token: {file: t}", "is not the URL of a service"),
        ("address: 'https://v?x=1', key: k, token: {file: t}", "is not the URL of a service"),
        ("address: 'https://v', key: ../k, token: {file: t}", "is not such a name"),
        ("address: 'https://v', key: a/b, token: {file: t}", "is not such a name"),
        ("address: 'https://v', key: k, mount: a/../b, token: {file: t}", "is not such a name"),
        ("address: 'https://v', key: k, namespace: 'a b', token: {file: t}", "is not such a name"),
        ("address: 'https://v', key: k, token: canary", "must not be written in the file"),
        ("address: 'https://v', key: k, token: {env: T}", "must be in a file"),
        ("address: 'https://v', key: k, kubernetes: {}", "lacks the key `role`"),
        ("address: 'https://v', key: k, kubernetes: {role: r, mount: 'a b'}", "is not such a name"),
        ("address: 'https://v', key: k, jwt: {role: r}", "lacks the key `token`"),
        ("address: 'https://v', key: k, approle: {role_id: i}", "lacks the key `secret_id`"),
        (
            "address: 'https://v', key: k, approle: {role_id: i, secret_id: canary}",
            "must not be written in the file",
        ),
        (
            "address: 'https://v', key: k, approle: {secret_id: {env: S}}",
            "must be in a file",
        ),
        ("address: 'https://v', key: k, cert: {cert: c}", "lacks the key `key`"),
        ("address: 'https://v', key: k, cert: [c]", "a mapping is expected"),
    ],
)
def test_what_is_wrong_is_told(written: str, problem: str) -> None:
    found = problems_of(with_vault(written))

    assert any(problem in one for one in found), found
    assert "canary" not in "".join(found)
