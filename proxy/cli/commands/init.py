"""`sealyard init`: a first configuration and keyring, ready to serve."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import Final

import click

from ...config.load import load
from ...config.settings import SecretReference
from ...core.crypto.derivation import audit_key
from ...core.errors import ConfigurationError
from ...keys import private_file
from ...keys.audit import AuditLog
from ...keys.keyring.file import create_keyring
from ...keys.keyring.keyring import create
from ...keys.keyring.roots import FileRoot, create_root_file
from ..policy import ExitCode
from ..support import console

CONFIGURATION: Final = "sealyard.yaml"
KEYRING: Final = "keyring.jwe"
ROOT: Final = "root.key"
AUDIT: Final = "audit.log"
ADMIN_TOKEN: Final = "admin.token"  # noqa: S105 - a file's name

_TEMPLATE: Final = """\
# Written by `sealyard init`. Check it with `sealyard validate`, and try it with
# sealyard explain POST /api/messages -d '{{"conversationId": "c1", "content": "Hello"}}'
# docs/reference/configuration.md has every key.
version: 1

keys:
  # The keyring holds the keys from which all others derive. Back it up: `sealyard keys export`.
  # The root key opens it. Keep a copy of it separate from the keyring and its backups.
  keyring: {{file: {keyring}, key: {{file: {root}}}}}
  store: memory
  sessions: {{mode: durable, ttl: 1h, grace: 1h}}

admin: {{listen: 127.0.0.1:9901, token: {{file: {admin}}}}}

# Records what is done with keys, or nothing is done. `sealyard audit verify` checks it.
audit: {{file: {audit}, on_failure: block}}

fields:
  # What the backend allows. It cannot validate sealed values, so Sealyard does.
  content: {{max_chars: 10000, string: true}}

listeners:
  - name: api
    listen: {listen}
    upstream: {upstream}
    unmatched: reject                    # reject | pass
    defaults:
      tenant: const:example
      bind: [tenant, conversation]
      query: {{page: plain, limit: plain, offset: plain, cursor: plain, sort: plain}}
      response: {{decrypt: tokens, on_error: keep}}
    rules:
      - name: send
        match: POST /api/messages
        conversation: $.conversationId
        request:
          encrypt: $.content
          plain: $.clientId              # what may stay plain; anything else is refused

      - name: list
        match: GET /api/conversations/{{id}}/messages
        conversation: path:id
"""


@click.command()
@click.argument(
    "folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), required=False
)
@click.option("--listen", default="127.0.0.1:8080", show_default=True, metavar="HOST:PORT")
@click.option("--upstream", default="http://127.0.0.1:3000", show_default=True, metavar="URL")
def init(folder: Path, listen: str, upstream: str) -> None:
    """Write a first configuration, a keyring and the root key that opens it to FOLDER.

    \b
    sealyard init
    sealyard init deploy --upstream http://127.0.0.1:8888

    Existing files are never overwritten.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    paths = {name: folder / name for name in (CONFIGURATION, KEYRING, ROOT, ADMIN_TOKEN)}
    present = [str(path) for path in paths.values() if path.exists() or path.is_symlink()]
    if present:
        raise console.Failure(
            f"{', '.join(present)}: here already, and nothing is overwritten; give another folder,"
            " as in `sealyard init deploy`",
            ExitCode.ENVIRONMENT,
        )
    folder.mkdir(parents=True, exist_ok=True)
    _write_configuration(paths[CONFIGURATION], listen, upstream)
    _make_keyring(paths[KEYRING], paths[ROOT])
    private_file.write(paths[ADMIN_TOKEN], secrets.token_urlsafe(32).encode() + b"\n")
    for path in paths.values():
        click.echo(str(path))
    console.say(
        f"Next: adapt the rules in {paths[CONFIGURATION]}, then run"
        f" sealyard serve --config {paths[CONFIGURATION]}"
    )


def _write_configuration(path: Path, listen: str, upstream: str) -> None:
    text = _TEMPLATE.format(
        keyring=KEYRING,
        root=ROOT,
        admin=ADMIN_TOKEN,
        audit=AUDIT,
        listen=listen,
        upstream=upstream,
    )
    path.write_text(text)
    try:
        load(path, os.environ)
    except ConfigurationError:
        path.unlink()  # a given address is invalid; leave nothing behind
        raise


def _make_keyring(path: Path, root_path: Path) -> None:
    create_root_file(root_path, random=os.urandom)
    root = FileRoot(SecretReference(file=root_path))
    keyring = create("", now=int(time.time()), random=os.urandom, marked=True)
    AuditLog(path.with_name(AUDIT), time.time).write(
        audit_key(keyring.record_key), "keys.init", keyring=str(path), kek=keyring.primary.id
    )
    create_keyring(path, keyring, root)
