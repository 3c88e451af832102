"""`sealyard init`: a first configuration and keyring, ready to serve."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import Final, NamedTuple

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
# sealyard explain {message}
# docs/reference/configuration.md has every key.
version: 1

keys:
  # The keyring holds the keys from which all others derive. Back it up: `sealyard keys export`.
  # The root key opens it. Keep a copy of it separate from the keyring and its backups.
  keyring: {{file: {keyring}, key: {{file: {root}}}}}
  store: memory
  sessions: {{mode: durable, ttl: 1h, grace: 1h}}

admin: {{listen: {admin}, token: {{file: {token}}}{page}}}

# Records what is done with keys, or nothing is done. `sealyard audit verify` checks it.
audit: {{file: {audit}, on_failure: block}}

{fields}listeners:
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
{rules}"""
_MESSAGE: Final = """POST /api/messages -d '{"conversationId": "c1", "content": "Hello"}'"""
_FIELDS: Final = """\
fields:
  # What the backend allows. It cannot validate sealed values, so Sealyard does.
  content: {max_chars: 10000, string: true}

"""
_RULES: Final = """\
      - name: send
        match: POST /api/messages
        conversation: $.conversationId
        request:
          encrypt: $.content
          plain: $.clientId              # what may stay plain; anything else is refused

      - name: list
        match: GET /api/conversations/{id}/messages
        conversation: path:id
"""


_OPTIONS: Final = {
    "listeners[0].listen": "--listen",
    "listeners[0].upstream": "--upstream",
    "admin.listen": "--admin",
}


class Addresses(NamedTuple):
    """Where Sealyard listens, where the backend is, and where the admin API listens."""

    listen: str = "127.0.0.1:8080"
    upstream: str = "http://127.0.0.1:3000"
    admin: str = "127.0.0.1:9901"


@click.command()
@click.argument(
    "folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), required=False
)
@click.option("--listen", default=Addresses().listen, show_default=True, metavar="HOST:PORT")
@click.option("--upstream", default=Addresses().upstream, show_default=True, metavar="URL")
@click.option(
    "--admin",
    default=Addresses().admin,
    show_default=True,
    metavar="HOST:PORT",
    help="Where the admin API and the status page listen.",
)
@click.option(
    "--from",
    "har",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Propose rules from the requests in a HAR file, as browsers and proxies export it, or from"
    " what rules in mode `observe` have seen: `admin.ladder_file`, or `GET /v1/status/steps`.",
)
@click.option(
    "--unvetted",
    is_flag=True,
    help="With --from: anyone could send requests that are in the file. What stays plain needs 20"
    " requests of 3 clients (`_client` of an entry), and 15 % of the requests to its path.",
)
@click.option(
    "--page",
    is_flag=True,
    help="Turn the status page on. It shows what becomes of messages, and no value.",
)
def init(  # noqa: PLR0913 - one parameter for each option
    folder: Path,
    listen: str,
    upstream: str,
    admin: str,
    har: Path | None,
    *,
    unvetted: bool,
    page: bool,
) -> None:
    """Write a first configuration, a keyring and the root key that opens it to FOLDER.

    \b
    sealyard init deploy --upstream http://127.0.0.1:8888
    sealyard init deploy --from requests.har

    Existing files are never overwritten. With --from the rules are a proposal: read each line. No
    value of the file is kept; what is not proposed stands in comments, with how often it came.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    rules = _RULES if har is None else _proposed(har, unvetted=unvetted)
    configuration = write(folder, Addresses(listen, upstream, admin), rules, page=page)
    console.say(
        f"Next: adapt the rules in {configuration}, then run"
        f" sealyard serve --config {configuration}"
    )


def write(folder: Path, addresses: Addresses, rules: str = _RULES, *, page: bool = False) -> Path:
    """Write all files, print their paths, and return that of the configuration.

    Raises Failure where one is there already, and for an address that is none.
    """
    paths = {name: folder / name for name in (CONFIGURATION, KEYRING, ROOT, ADMIN_TOKEN)}
    present = [str(path) for path in paths.values() if path.exists() or path.is_symlink()]
    if present:
        raise console.Failure(
            f"{', '.join(present)}: here already, and nothing is overwritten; give another folder,"
            " as in `sealyard init deploy`",
            ExitCode.ENVIRONMENT,
        )
    folder.mkdir(parents=True, exist_ok=True)
    shown = ", status_page: true, tap: true" if page else ""
    _write_configuration(paths[CONFIGURATION], addresses, rules, shown)
    _make_keyring(paths[KEYRING], paths[ROOT])
    private_file.write(paths[ADMIN_TOKEN], secrets.token_urlsafe(32).encode() + b"\n")
    for path in paths.values():
        click.echo(str(path))
    return paths[CONFIGURATION]


def _proposed(har: Path, *, unvetted: bool) -> str:
    from ..support import proposal  # noqa: PLC0415 - for this option alone

    try:
        least = proposal.UNVETTED if unvetted else proposal.RECORDED
        found = proposal.rules_from(har.read_bytes(), least)
    except OSError as error:
        raise console.Failure(f"{har}: {error.strerror}", ExitCode.ENVIRONMENT) from None
    if not found:
        raise console.Failure(
            f"{har}: no request in it succeeded; record some with their answers",
            ExitCode.ENVIRONMENT,
        )
    return found


def _write_configuration(path: Path, addresses: Addresses, rules: str, page: str) -> None:
    example = rules is _RULES
    text = _TEMPLATE.format(
        message=_MESSAGE if example else "METHOD PATH -d @FILE",
        fields=_FIELDS if example else "",
        keyring=KEYRING,
        root=ROOT,
        token=ADMIN_TOKEN,
        audit=AUDIT,
        rules=rules,
        page=page,
        **addresses._asdict(),
    )
    path.write_text(text)
    try:
        load(path, os.environ)
    except ConfigurationError as error:
        path.unlink()  # a given address is invalid; leave nothing behind
        told = "\n".join(_by_option(one.removeprefix(f"{path}:")) for one in error.problems)
        raise console.Failure(told, ExitCode.ENVIRONMENT) from None


def _by_option(problem: str) -> str:
    """Return the problem with the option that it is of in place of line and key."""
    _, key, said = problem.split(" ", 2)
    return f"{_OPTIONS[key]}: {said}" if key in _OPTIONS else problem


def _make_keyring(path: Path, root_path: Path) -> None:
    create_root_file(root_path, random=os.urandom)
    root = FileRoot(SecretReference(file=root_path))
    keyring = create("", now=int(time.time()), random=os.urandom, marked=True)
    AuditLog(path.with_name(AUDIT), time.time).write(
        audit_key(keyring.record_key), "keys.init", keyring=str(path), kek=keyring.primary.id
    )
    create_keyring(path, keyring, root)
