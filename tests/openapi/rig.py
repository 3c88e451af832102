"""A real `sealyard serve` whose admin listener has callers with scopes of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.config.settings.admin import ADMIN_SCOPES
from tests.scenarios import rig
from tests.scenarios.rig import Served
from tests.servers import free_port

EXPIRED: Final = "expired-token-0123456789"
ALL: Final = "token-of-everything-0123456789"
TOKENS: Final = {scope: f"token-of-{scope}-0123456789" for scope in ADMIN_SCOPES}
_CONFIGURATION: Final = """\
version: 1
keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
  store: {store}
  sessions: {{mode: {mode}, accept_loss: true}}
admin:
  listen: "127.0.0.1:{admin}"
  status_page: true
  tap: true
  tokens:
{tokens}
health: {{listen: "127.0.0.1:{health}"}}
listeners:
  - name: api
    listen: "127.0.0.1:{port}"
    upstream: http://127.0.0.1:{upstream}
    unmatched: pass
    defaults: {{others: pass}}
    rules:
      - {{name: send, match: POST /a, conversation: $.c, request: {{encrypt: $.text}}}}
      - {{name: open, match: POST /b, conversation: $.c, request: {{decrypt: $.text}}}}
"""


@dataclass(frozen=True, slots=True)
class Running:
    """The server, and the folder that its keys, audit log and configuration are in."""

    served: Served
    folder: Path

    @property
    def url(self) -> str:
        """Where the admin API is."""
        return f"http://127.0.0.1:{self.served.admin}"

    @property
    def audit(self) -> str:
        """The audit log so far."""
        return (self.folder / "keyring.jwe.audit").read_text()


def _token(folder: Path, name: str, token: str, scopes: tuple[str, ...], more: str = "") -> str:
    path = folder / f"{name}.token"
    path.write_text(f"{token}\n")
    path.chmod(0o600)
    listed = ", ".join(scopes)
    return f"    - {{name: {name}, token: {{file: {path.name}}}, scopes: [{listed}]{more}}}"


@contextmanager
def admin(
    folder: Path,
    *options: str,
    upstream: int = 9,
    store: str = "sqlite:keys.db",
    mode: str = "durable",
) -> Iterator[Running]:
    """Run a server with a caller for each scope, one with all, and one whose time is over."""
    rig.write_keys(folder)
    tokens = [_token(folder, scope, token, (scope,)) for scope, token in TOKENS.items()]
    tokens.append(_token(folder, "all", ALL, ADMIN_SCOPES))
    ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    tokens.append(_token(folder, "expired", EXPIRED, ADMIN_SCOPES, f', expires: "{ended}"'))
    port, admin, health = free_port(), free_port(), free_port()
    ports = {"port": port, "admin": admin, "health": health, "upstream": upstream}
    kept = {"store": store, "mode": mode}
    text = _CONFIGURATION.format(tokens="\n".join(tokens), **kept, **ports)
    with rig.running(folder, text, *options, port=port, admin=admin, health=health) as served:
        yield Running(served, folder)
