"""A key service that speaks as AWS KMS does, counts its calls, and can be away or refuse.

moto shows that ours are calls which AWS' own shape of service understands; it decrypts under a
disabled key, keeps nothing over a restart and cannot be counted, so outages are tried with this.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.servers import free_port

_NONCE = 12
ROLE_SECRETS = (b"canary-secret-of-the-role", b"canary-session-token-of-the-role")
_ROLE = (
    b"<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
    b"<AccessKeyId>A</AccessKeyId><SecretAccessKey>%b</SecretAccessKey>"
    b"<SessionToken>%b</SessionToken>"
    b"</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
) % ROLE_SECRETS


@dataclass
class KmsDouble:
    """One symmetric key at an address of this machine.

    `/credentials` gives credentials of a container to whoever has the text of `allowed`, and the
    token service those of a role. With `ca`, it speaks TLS by a certificate of a CA in that file.
    """

    port: int = field(default_factory=free_port)
    key: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    refuses: str = ""
    allowed: str = "canary-token-of-the-container-1"
    calls: list[str] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    bearers: list[str] = field(default_factory=list)
    ca: Path | None = None
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.ca else 'http'}://127.0.0.1:{self.port}"

    @property
    def configuration(self) -> str:
        """The root in a configuration."""
        url = f"{self.url}/"
        trusted = f", ca: {self.ca}" if self.ca else ""
        place = f"region: eu-central-1, endpoint: '{url}', sts: '{url}'{trusted}"
        return f"{{key: alias/sealyard, {place}}}"

    @property
    def environment(self) -> dict[str, str]:
        """Credentials that need no other server."""
        return {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "canary-secret-key"}

    def count(self, action: str) -> int:
        """Return how many calls of an action arrived, also those that were refused."""
        return self.calls.count(action)

    def start(self) -> None:
        """Listen, at the same port each time."""
        double = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                action = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
                double.calls.append(action or "AssumeRoleWithWebIdentity")
                body = self.rfile.read(size)
                if not action:
                    self.send(200, _ROLE)
                    return
                double.asked.append(json.loads(body))
                self.answer(*double.answer(action, double.asked[-1]))

            def do_GET(self) -> None:
                bearer = self.headers.get("Authorization", "")
                double.bearers.append(bearer)
                given = {"AccessKeyId": "A", "SecretAccessKey": "canary-given", "Token": "C"}
                good = bearer == double.allowed
                self.answer(200 if good else 403, given if good else {})

            def answer(self, status: int, found: dict[str, Any]) -> None:
                self.send(status, json.dumps(found).encode())

            def send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
                """Say nothing."""

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        if self.ca is not None:
            authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.cert_pem.write_to_path(self.ca)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def answer(self, action: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return the status and the members of an answer."""
        if self.refuses:
            return 400, {"__type": self.refuses, "message": "canary of the service"}
        context = json.dumps(asked.get("EncryptionContext"), sort_keys=True).encode()
        cipher = AESGCM(self.key)
        if action == "Encrypt":
            nonce = os.urandom(_NONCE)
            sealed = cipher.encrypt(nonce, base64.b64decode(asked["Plaintext"]), context)
            return 200, {"CiphertextBlob": base64.b64encode(nonce + sealed).decode()}
        if action == "Decrypt":
            blob = base64.b64decode(asked["CiphertextBlob"])
            try:
                opened = cipher.decrypt(blob[:_NONCE], blob[_NONCE:], context)
            except InvalidTag:
                return 400, {"__type": "InvalidCiphertextException"}
            return 200, {"Plaintext": base64.b64encode(opened).decode()}
        return 400, {"__type": "UnsupportedOperationException"}


@contextmanager
def kms_double(ca: Path | None = None) -> Iterator[KmsDouble]:
    """Run one; with `ca`, by TLS."""
    made = KmsDouble(ca=ca)
    made.start()
    try:
        yield made
    finally:
        made.stop()
