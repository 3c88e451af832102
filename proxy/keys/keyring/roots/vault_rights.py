"""What `doctor` says of a Vault root: rights that are too wide, and how its key is kept.

A sidecar needs `update` on `decrypt` and nothing else. Whoever may encrypt could put a keyring of
his own in the place of this one; whoever may delete, rotate, configure, export or back up the key
could lose or take it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ....process.fitness import Finding
from .key_service import Answer
from .vault_client import VaultClient, errors, trouble

PROBE: Final = {"ciphertext": "vault:v1:" + "A" * 40}
"""Asks to decrypt without a context, which a derived key misses. It opens nothing."""

_CHECK: Final = "root vault"
_CHANGE: Final = frozenset({"create", "update"})
_READ: Final = frozenset({"read"})
_DANGERS: Final = (
    ("encrypt/{key}", _CHANGE, "encrypt with it"),
    ("keys/{key}", frozenset({"delete"}), "delete it"),
    ("keys/{key}/config", _CHANGE, "change its configuration"),
    ("keys/{key}/rotate", _CHANGE, "rotate it"),
    ("keys/{key}/trim", _CHANGE, "trim its versions"),
    ("export/encryption-key/{key}", _READ, "export it"),
    ("backup/{key}", _READ, "back it up in plaintext"),
    ("restore/{key}", _CHANGE, "replace it"),
)
_KEY: Final = (
    ("derived", True, "ignores the context: make one with `derived=true`, and rewrap"),
    ("deletion_allowed", False, "may be deleted: set `deletion_allowed=false`"),
    ("exportable", False, "can be exported: use a key that was made with `exportable=false`"),
    ("allow_plaintext_backup", False, "can be backed up in plaintext: use a key that cannot"),
)


def is_derived(answer: Answer) -> bool:
    """Tell whether an answer to PROBE is that of a derived key."""
    return not answer.ok and "missing 'context'" in errors(answer)


def is_not_derived(answer: Answer) -> bool:
    """Tell whether an answer to PROBE is that of a key that tried to decrypt it."""
    return answer.ok or any(
        text in errors(answer) for text in ("authentication failed", "invalid ciphertext")
    )


def examine(client: VaultClient, mount: str, key: str) -> list[Finding]:
    """Return the findings on a key and on what the client's token may do with it."""
    return [*_rights(client, mount, key), *_kept(client, mount, key)]


def _rights(client: VaultClient, mount: str, key: str) -> Iterator[Finding]:
    paths = [f"{mount}/{path.format(key=key)}" for path, _, _ in _DANGERS]
    answer = client.ask("sys/capabilities-self", {"paths": paths})
    held = answer.json().get("data")
    if not answer.ok or not isinstance(held, dict):
        text = trouble(answer) or f"status {answer.status}: has it the policy `default`?"
        yield Finding(_CHECK, "unknown", f"the rights of the token cannot be asked: {text}")
        return
    wide = [
        does
        for path, (_, refused, does) in zip(paths, _DANGERS, strict=True)
        if refused & _expanded(held.get(path), refused)
    ]
    if wide:
        text = f"the token may do more than decrypt with `{key}`: {', '.join(wide)}"
        mending = f"give it `update` on `{mount}/decrypt/{key}` only"
        yield Finding(_CHECK, "warning", f"{text}; {mending}")
    else:
        yield Finding(_CHECK, "ok", f"the token may decrypt with `{key}`, and not harm it")


def _expanded(capabilities: object, of_root: frozenset[str]) -> frozenset[str]:
    found = frozenset(map(str, capabilities)) if isinstance(capabilities, list) else frozenset()
    return of_root if "root" in found else found


def _kept(client: VaultClient, mount: str, key: str) -> Iterator[Finding]:
    answer = client.ask(f"{mount}/keys/{key}")
    found = answer.json().get("data")
    if answer.ok and isinstance(found, dict):
        yield from _attributes(found, key)
    elif is_not_derived(client.ask(f"{mount}/decrypt/{key}", PROBE)):
        yield Finding(_CHECK, "warning", f"the key `{key}` {_KEY[0][2]}")
    else:
        text = "the token cannot read whether the key may be deleted or exported: see"
        yield Finding(_CHECK, "unknown", f"{text} `bao read {mount}/keys/{key}`")


def _attributes(found: dict[str, Any], key: str) -> Iterator[Finding]:
    wrong = [text for name, wanted, text in _KEY if found.get(name) is not wanted]
    for text in wrong:
        yield Finding(_CHECK, "warning", f"the key `{key}` {text}")
    if not wrong:
        yield Finding(_CHECK, "ok", f"the key `{key}` is derived, and not to delete or export")
