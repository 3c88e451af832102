"""Configurations for tests: a small one that loads, and what becomes of it when changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from proxy.config.load import parse
from proxy.config.settings import Loaded
from proxy.core.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
FILE = Path("/etc/sealyard/sealyard.yaml")
OPEN_WRITES = "writes that no rule matches pass"
SMALL = """\
version: 1
keys:
  keyring: {file: keyring.jwe, passphrase: {env: P}}
listeners:
  - name: api
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:3000
    unmatched: pass
    defaults: {tenant: const:t}
    rules:
      - name: send
        match: POST /a/{id}
        request: {encrypt: $.content}
        response: {decrypt: $.content}
"""


def changed(old: str, new: str) -> str:
    """Return the small configuration with one text in it replaced."""
    assert SMALL.count(old) == 1, old
    return SMALL.replace(old, new)


def with_rules(rules: str, *, defaults: str = "{tenant: const:t}", top: str = "") -> str:
    """Return the small configuration with other rules."""
    head, _, _ = SMALL.partition("    rules:\n")
    head = head.replace("defaults: {tenant: const:t}", f"defaults: {defaults}")
    head = head.replace("listeners:\n", f"{top}listeners:\n", 1)
    return f"{head}    rules:\n{rules}"


def loaded(text: str, environ: Mapping[str, str] | None = None) -> Loaded:
    """Return what a configuration's text loads as."""
    return parse(text, FILE, environ or {})


def problems_of(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the mistakes of a text, without the file's name before each."""
    try:
        parse(text, FILE, environ or {})
    except ConfigurationError as error:
        return [_without_file(one) for one in error.problems]
    return []


def closed_of(text: str) -> list[str]:
    """Return the mistakes of a text as a log gets them."""
    try:
        parse(text, FILE, {})
    except ConfigurationError as error:
        return list(error.closed)
    return []


def warnings_of(text: str) -> list[str]:
    """Return the warnings of a text that loads, without the file's name before each.

    That its writes are open, as those of the small one are, is left to `open_writes_of`.
    """
    return [one for one in _warnings(text) if OPEN_WRITES not in one]


def open_writes_of(text: str) -> list[str]:
    """Return the warnings of writes that no rule matches."""
    return [one for one in _warnings(text) if OPEN_WRITES in one]


def _warnings(text: str) -> list[str]:
    return [_without_file(one) for one in loaded(text).warnings]


def _without_file(line: str) -> str:
    before = f"{FILE}:"
    assert line.startswith(before)
    return line.removeprefix(before)
