"""A real OpenBao of a test's own: in a folder of its own, sealed and killed as a test wants."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import pytest
import trustme

from proxy.config.settings import SecretReference
from proxy.config.settings.roots.vault import TokenLogin, VaultLogin, VaultOptions
from proxy.keys.keyring.roots.key_service import Answer, call
from proxy.keys.keyring.roots.vault import VaultRoot
from tests.servers import PATIENCE_SECONDS, await_port, free_port

_ROOT: Final = Path(__file__).parents[4]
PROGRAM: Final = _ROOT / ".venv-openbao" / "bin" / "bao"
needs_openbao = pytest.mark.skipif(
    not PROGRAM.exists(), reason="no OpenBao here: `./dev test tests/keys` installs it"
)
KEY: Final = "sealyard"
POLICY: Final = f'path "transit/decrypt/{KEY}" {{ capabilities = ["update"] }}'
"""What a sidecar needs."""
MAKER: Final = f'{POLICY}\npath "transit/encrypt/{KEY}" {{ capabilities = ["update"] }}'
"""What an operator needs besides who makes or rewraps a keyring."""


@dataclass
class OpenBao:
    """A server with one unseal key, its files in `folder`, and a listener without and with TLS.

    `running` gives it a key, `sealyard`, and the policies `opener` (POLICY) and `maker` (MAKER).
    """

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    token: str = field(repr=False, default="")
    unseal_key: str = field(repr=False, default="")
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    authority: trustme.CA = field(default_factory=trustme.CA)
    leader: OpenBao | None = None

    @property
    def url(self) -> str:
        """The address without TLS."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        """The address with TLS, by a certificate of `authority`, which is in ca.pem."""
        return f"https://127.0.0.1:{self.tls_port}"

    @property
    def audited(self) -> Path:
        """The log of every request and response, its secrets hashed."""
        return self.folder / "audit.log"

    def start(self) -> None:
        """Start the server, make it ready if it is new, and unseal it."""
        log = self.folder / "log"
        self._configure()
        command = [str(PROGRAM), "server", f"-config={self.folder / 'config.hcl'}"]
        with log.open("ab") as sink:
            self.process = subprocess.Popen(command, stdout=sink, stderr=sink)  # noqa: S603 - our own
        await_port(self.process, self.port, log)
        if self.leader is not None:
            self._join(self.leader)
            return
        if not self.token:
            made = self.ask("sys/init", {"secret_shares": 1, "secret_threshold": 1}).json()
            self.token, (self.unseal_key,) = made["root_token"], made["keys"]
        self.unseal()

    def _join(self, leader: OpenBao) -> None:
        """Join the cluster of another server, and stand by."""
        self.token, self.unseal_key = leader.token, leader.unseal_key
        self.done("sys/storage/raft/join", {"leader_api_addr": leader.url})
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.ask("sys/health?standbyok=true", None).status != HTTPStatus.OK:
            self.ask("sys/unseal", {"key": self.unseal_key})
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.2)

    def kill(self) -> None:
        """End the server at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Let the server accept, and answer nothing, until `resume`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        state = Path(f"/proc/{self.process.pid}/stat")
        while state.read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.01)

    def resume(self) -> None:
        """Let it answer again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def seal(self) -> None:
        """Seal it: it has its data no more, until `unseal`."""
        self.done("sys/seal", {})

    def unseal(self) -> None:
        """Unseal it, and wait until it leads."""
        self.done("sys/unseal", {"key": self.unseal_key})
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.ask("sys/health", None).status != HTTPStatus.OK:
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.05)

    def ask(self, path: str, body: Any, method: str = "", namespace: str = "") -> Answer:  # noqa: ANN401 - JSON
        """Return the answer to a call as the operator with all rights; without a body, to a GET."""
        headers = {"X-Vault-Token": self.token, "X-Vault-Namespace": namespace}
        content = None if body is None else json.dumps(body).encode()
        method = method or ("GET" if body is None else "POST")
        return call(method, f"{self.url}/v1/{path}", headers, content, seconds=30)

    def done(self, path: str, body: Any, method: str = "", namespace: str = "") -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Do as `ask`, and fail for a refusal; return `data` or `auth` of the answer."""
        answer = self.ask(path, body, method, namespace)
        assert answer.ok, (path, answer)
        found = answer.json()
        return found.get("data") or found.get("auth") or {}

    def make_key(self, name: str = KEY, *, derived: bool = True, namespace: str = "") -> None:
        """Make a key."""
        self.done(f"transit/keys/{name}", {"derived": derived}, namespace=namespace)

    def delete_key(self, name: str = KEY) -> None:
        """Delete a key, with all that it has encrypted."""
        self.done(f"transit/keys/{name}/config", {"deletion_allowed": True})
        self.done(f"transit/keys/{name}", None, "DELETE")

    def policy(self, name: str, text: str, namespace: str = "") -> None:
        """Write a policy."""
        self.done(f"sys/policies/acl/{name}", {"policy": text}, namespace=namespace)

    def a_token(self, *policies: str, namespace: str = "", **more: object) -> str:
        """Return a new token."""
        body = {"policies": policies, "ttl": "1h", **more}
        made: str = self.done("auth/token/create", body, namespace=namespace)["client_token"]
        return made

    def login(self, path: Path, *policies: str, **more: Any) -> TokenLogin:  # noqa: ANN401 - JSON
        """Return a login by a new token, which is in a file."""
        path.write_text(self.a_token(*policies, **more) + "\n")
        path.chmod(0o600)
        return TokenLogin(SecretReference(file=path))

    def root(self, login: VaultLogin, *, key: str = KEY, **more: Any) -> VaultRoot:  # noqa: ANN401 - options
        """Return a root provider; `more` are its options."""
        return VaultRoot(VaultOptions(**{"address": self.url, "key": key, "login": login, **more}))

    def requests(self, path: str = "") -> int:
        """Return how many requests there were so far, whose path begins so."""
        lines = map(json.loads, self.audited.read_text().splitlines())
        asked = (one["request"]["path"] for one in lines if one["type"] == "request")
        return sum(one.startswith(path) for one in asked)

    def _configure(self) -> None:
        (self.folder / "data").mkdir(exist_ok=True)
        issued = self.authority.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(self.folder / "server.key")
        issued.cert_chain_pems[0].write_to_path(self.folder / "server.pem")
        self.authority.cert_pem.write_to_path(self.folder / "ca.pem")
        (self.folder / "config.hcl").write_text(f"""
          storage "raft" {{
            path                   = "{self.folder}/data"
            node_id                = "{self.folder.name}"
            performance_multiplier = "1"
          }}
          listener "tcp" {{
            address     = "127.0.0.1:{self.port}"
            tls_disable = true
          }}
          listener "tcp" {{
            address       = "127.0.0.1:{self.tls_port}"
            tls_cert_file = "{self.folder}/server.pem"
            tls_key_file  = "{self.folder}/server.key"
          }}
          audit "file" "all" {{
            options = {{ file_path = "{self.audited}" }}
          }}
          api_addr     = "{self.url}"
          cluster_addr = "https://127.0.0.1:{free_port()}"
        """)


@contextmanager
def started(folder: Path) -> Iterator[OpenBao]:
    """Run an OpenBao that has nothing yet."""
    server = OpenBao(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def running(folder: Path) -> Iterator[OpenBao]:
    """Run an OpenBao with a transit engine, a key and two policies."""
    with started(folder) as server:
        server.done("sys/mounts/transit", {"type": "transit"})
        server.make_key()
        server.policy("opener", POLICY)
        server.policy("maker", MAKER)
        yield server
