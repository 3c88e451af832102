"""docs/how-to/roots/vault.md, from nothing to sealed: its commands with a real OpenBao."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import trustme
from joserfc.jwk import RSAKey

from tests.keys.keyring.roots.openbao import PROGRAM, OpenBao, needs_openbao, started
from tests.keys.keyring.roots.test_vault import a_jwt, client_certificate, token_reviews
from tests.scenarios.rig import backend, environment, running
from tests.servers import PlainBackend, free_port

pytestmark = needs_openbao
ROOT: Final = Path(__file__).parents[4]
PAGE: Final = ROOT / "docs" / "how-to" / "roots" / "vault.md"
ADDRESS: Final = "https://vault.example:8200"
CANARY: Final = "canary of a patient"
BLOCK: Final = re.compile(r"^```(sh|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sections() -> dict[str, list[tuple[str, str]]]:
    """Return the scripts and configurations of the page, by their heading."""
    _, *found = re.split(r"^##+ ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    split = (one.partition("\n") for one in found)
    return {title: BLOCK.findall(rest) for title, _, rest in split}


@dataclass
class Operator:
    """Who follows the page in a folder, with all rights in Vault."""

    folder: Path
    bao: OpenBao
    upstream: int
    keyring_id: str = ""
    port: int = field(default_factory=free_port)

    def follow(self, section: str) -> str:
        """Run the scripts of a section; return what they print."""
        return "".join(map(self.run, self.scripts(section)))

    def scripts(self, section: str) -> list[str]:
        """Return the scripts of a section."""
        return [text for kind, text in sections()[section] if kind == "sh"]

    def run(self, script: str, *, status: int = 0) -> str:
        """Run a script; return what it printed."""
        variables = {
            "PATH": f"{self.folder / 'bin'}:{PROGRAM.parent}:{os.environ['PATH']}",
            "BAO_ADDR": self.bao.tls_url,
            "BAO_CACERT": str(self.bao.folder / "ca.pem"),
            "BAO_TOKEN": self.bao.token,
            "SEALYARD_BACKUP_PASSPHRASE": "a phrase for backups",
            "HOME": str(self.folder),
        }
        done = subprocess.run(  # noqa: S603 - the commands of the page
            [shutil.which("sh") or "sh", "-euc", script],
            cwd=self.folder,
            env=environment(**variables),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def configure(self, login: str = "token: {file: token}", keyring_id: str = "") -> None:
        """Write the configuration of the page, with a login."""
        ((_, text),) = [one for one in sections()["3. Make the keyring"] if one[0] == "yaml"]
        text = text.replace(ADDRESS, self.bao.tls_url).replace("token: {file: token}", login)
        if keyring_id:
            text = text.replace("file: keyring.jwe", f"file: keyring.jwe\n    id: {keyring_id}")
        text = text.replace(":8080", f":{self.port}").replace(":3000", f":{self.upstream}")
        (self.folder / "sealyard.yaml").write_text(text)

    def log_in_as(self, section: str, **replaced: str) -> None:
        """Follow a section on a login, and take its login, with texts in it replaced."""
        said = self.follow(section)
        (login,) = [text.strip() for kind, text in sections()[section] if kind == "yaml"]
        if role_id := re.search(r"^[0-9a-f]{8}-[0-9a-f-]{27}$", said, re.MULTILINE):
            login = re.sub(r"(?<=role_id: )[0-9a-f-]+", role_id.group(), login)
        for old, new in replaced.items():
            assert old in login
            login = login.replace(old, new)
        self.configure(login, self.keyring_id)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator who has followed the page until there is a keyring."""
    folder = tmp_path_factory.mktemp("operator")
    (folder / "bin").mkdir(mode=0o700)
    sealyard = folder / "bin" / "sealyard"
    sealyard.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m proxy "$@"\n')
    sealyard.chmod(0o700)
    with (
        started(tmp_path_factory.mktemp("openbao")) as bao,
        closing(PlainBackend()) as upstream,
    ):
        shutil.copy(bao.folder / "ca.pem", folder / "vault-ca.pem")
        made = Operator(folder, bao, upstream.port)
        made.follow("1. Make the key")
        made.follow("2. Write the policies")
        made.configure()
        first, second = made.scripts("3. Make the keyring")
        said = made.run(first)
        found = re.search(r"^keyring ([A-Za-z0-9_-]{22}),", said, re.MULTILINE)
        assert found is not None, said
        made.keyring_id = found.group(1)
        made.configure(keyring_id=made.keyring_id)
        made.run(second)
        yield made


def opens(operator: Operator) -> None:
    """Fail unless a process that may only decrypt opens the keyring and is told so."""
    said = operator.follow("5. Check it")
    assert "the token may decrypt with `sealyard`, and not harm it" in said
    listed = operator.run("sealyard keys list")
    assert operator.keyring_id in listed


def test_who_made_the_keyring_is_warned_that_he_may_encrypt(operator: Operator) -> None:
    operator.configure(keyring_id=operator.keyring_id)
    said = operator.follow("5. Check it")

    assert "the token may do more than decrypt with `sealyard`: encrypt with it" in said


def test_a_service_account_opens_it(operator: Operator) -> None:
    account = {"namespace": "shop", "serviceaccount": {"name": "web", "uid": "1"}}
    claims = {"sub": "system:serviceaccount:shop:web", "kubernetes.io": account, "aud": ["vault"]}
    token = a_jwt(RSAKey.generate_key(2048), **claims)
    (operator.folder / "account").write_text(token)
    shutil.copy(operator.bao.folder / "ca.pem", operator.folder / "cluster-ca.pem")
    operator.log_in_as(
        "As a Kubernetes service account",
        **{"role: sealyard-shop": "role: sealyard-shop, token: account"},
    )
    with token_reviews(operator.bao, token) as api:
        operator.bao.done(
            "auth/kubernetes/config",
            {
                "kubernetes_host": api,
                "kubernetes_ca_cert": (operator.bao.folder / "ca.pem").read_text(),
                "token_reviewer_jwt": token,
                "disable_local_ca_jwt": True,
            },
        )
        opens(operator)


def test_a_jwt_opens_it(operator: Operator) -> None:
    key = RSAKey.generate_key(2048)
    (operator.folder / "issuer.pem").write_bytes(key.as_pem(private=False))
    claims = {"iss": "https://issuer.example", "aud": "vault", "sub": "spiffe://shop/web"}
    (operator.folder / "jwt").write_text(a_jwt(key, **claims))
    operator.log_in_as("With a JWT of SPIFFE, a cloud or a CI system", **{"/run/spiffe/jwt": "jwt"})
    opens(operator)


def test_a_client_certificate_opens_it(operator: Operator) -> None:
    clients = trustme.CA()
    clients.cert_pem.write_to_path(operator.folder / "clients-ca.pem")
    client_certificate(clients, operator.folder)
    operator.log_in_as("With a client certificate")
    opens(operator)


async def test_an_approle_opens_it_and_messages_are_sealed(operator: Operator) -> None:
    operator.log_in_as("As an AppRole")
    opens(operator)
    async with backend() as behind:
        port = operator.port
        text = (operator.folder / "sealyard.yaml").read_text()
        text = text.replace(f":{operator.upstream}", f":{behind.port}")
        log = operator.folder / "sealyard.log"
        with running(operator.folder, text, port=port, admin=0, health=0, log=log) as sidecar:
            await sidecar.event("server.ready")
            before = operator.bao.requests()
            body = {"conversationId": "c1", "content": CANARY}
            async with aiohttp.ClientSession() as session:
                for _ in range(20):
                    async with session.post(
                        f"http://127.0.0.1:{port}/api/messages", json=body
                    ) as response:
                        assert await response.json() == body
            assert operator.bao.requests() == before
        assert len(behind.bodies) == 20
        assert not any(CANARY.encode() in one for one in behind.bodies)
    assert CANARY not in log.read_text()
    secret_id = (operator.folder / "secret_id").read_text().strip()
    kept = [operator.bao.audited, operator.bao.folder / "log", log, operator.folder / "keyring.jwe"]
    assert not any(secret_id in one.read_text() for one in kept)


def test_the_keyring_is_kept_in_git(operator: Operator) -> None:
    kubectl = operator.folder / "bin" / "kubectl"
    kubectl.write_text("#!/bin/sh\nprintf '%s\\n' \"$*\"\n")  # the chart's tests have the real one
    kubectl.chmod(0o700)
    operator.configure(keyring_id=operator.keyring_id)
    operator.run("git init --quiet; git config user.name op; git config user.email op@example")
    operator.follow("Keep the keyring in Git")
    operator.run("git clone --quiet . copy && cp token vault-ca.pem copy && chmod 600 copy/*")

    assert operator.keyring_id in operator.run("cd copy && sealyard keys add && sealyard keys list")


def test_after_a_rotation_older_files_do_not_open(operator: Operator) -> None:
    operator.configure(keyring_id=operator.keyring_id)
    operator.run("cp -p keyring.jwe old.jwe")
    try:
        operator.follow("Rotate the key in Vault")

        operator.run("sealyard keys list")
        said = operator.run("sealyard keys list --config sealyard.yaml --keyring old.jwe", status=3)
        assert "`min_decryption_version`" in said
    finally:
        operator.bao.done("transit/keys/sealyard/config", {"min_decryption_version": 1})


def test_every_reason_of_the_page_is_one_that_is_given() -> None:
    (_, *rows) = sections_text("When Vault does not open it")
    code = "".join(
        (ROOT / "proxy" / "keys" / "keyring" / "roots" / name).read_text()
        for name in ("vault.py", "vault_client.py", "key_service.py")
    ).replace("`", "")
    for reason in (one for row in rows for one in re.findall("`([^`]+)`", row)):
        assert reason.strip("… ") in code, reason


def sections_text(title: str) -> list[str]:
    """Return the first column of the table in a section."""
    text = PAGE.read_text(encoding="utf-8").partition(f"## {title}\n")[2]
    return [row.split("|")[1] for row in text.splitlines() if row.startswith("| ")]
