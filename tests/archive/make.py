"""Makes the archive of a release: what it wrote, and what that must open to, for ever after.

    ./dev archive            make `next` anew: what this tree writes, before it is released
    ./dev archive VERSION    at the release of VERSION: make its archive, in place of `next`

Run it with the code that is archived. The archive of a release is frozen: it is not written over.
All keys and passphrases in an archive are of tests, and known to everybody. Keys and session ids
are drawn from the name of the archive: making `next` again changes nonces, times, and whatever has
another form.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from proxy import __version__
from proxy.config.schema.json_schema import SECTIONS
from proxy.config.settings import SecretReference
from proxy.core.crypto import derivation
from proxy.core.crypto.context import Scope
from proxy.core.crypto.joined_names import Joined, to_json
from proxy.keys.audit import AuditLog
from proxy.keys.keyring.file import create_keyring
from proxy.keys.keyring.kek import RandomBytes
from proxy.keys.keyring.keyring import Keyring, create
from proxy.keys.keyring.merging import merge
from proxy.keys.keyring.name_keys import record_name
from proxy.keys.keyring.roots import FileRoot, create_root_file
from proxy.keys.keyring.roots.passphrase import PassphraseRoot
from proxy.keys.operations import erase_receipt
from proxy.keys.sessions.pending_revocations import SUFFIX, PendingRevocation
from tests.archive.make_messages import write_messages
from tests.archive.make_migration import write_migration
from tests.archive.make_stores import write_stores
from tests.archive.make_values import Maker, write_packages, write_streams, write_tokens
from tests.archive.opened import facts
from tests.archive.people import drawn

HERE: Final = Path(__file__).parent
NEXT: Final = "next"
ROOT: Final = Path(__file__).parents[2]
PASSPHRASE: Final = "a passphrase of tests, known to everybody"
REVOKED: Final = (
    Scope("clinic", "revoked"),
    Scope("clinic", Joined("list", ("revoked", "pair"))),
    Scope(None, None),
)
_DAYS: Final = 86_400


def main(words: list[str]) -> None:
    """Make all of it."""
    name = words[0] if words else NEXT
    if name not in {NEXT, __version__}:
        sys.exit(f"this is the code of {__version__}: only its archive, or `{NEXT}`, can be made")
    place = HERE / name
    if name != NEXT and place.exists():
        sys.exit(f"{place} is there already, and is not written over")
    missing = sorted(unused_keys(_configurations()))
    if missing:
        sys.exit(f"no file of {HERE / 'configuration'} has the keys: {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o700)
        manifest = write(folder, name, int(time.time()))
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
        shutil.rmtree(HERE / NEXT, ignore_errors=True)
        shutil.copytree(folder, place, ignore=shutil.ignore_patterns("*.lock"))
    sys.stdout.write(f"wrote {place}\n")


def write(folder: Path, name: str, now: int) -> dict[str, Any]:
    """Write all files of an archive but its manifest, which is returned; `now` is in seconds."""
    random = drawn(name)
    kept = a_keyring(now, random)
    fork = kept.add("fork", now=now - 700, random=random, marked=True)
    fork = fork.promote(fork.keks[-1].id)
    keyrings = {
        "keyring.jwe": kept,
        "keyring-new.jwe": create("", now=now, random=random, marked=True),
        "keyring-fork.jwe": fork,
        "keyring-merged.jwe": merge(kept.add("k8", now=now, random=random), fork, now=now),
    }
    maker = Maker(now, random)
    items = {
        "keyrings": _write_keyrings(folder, keyrings, random),
        "tokens": write_tokens(folder, maker, keyrings),
        "streams": write_streams(folder, maker, kept),
        "packages": write_packages(folder, maker),
        "messages": asyncio.run(write_messages(folder, kept, now)),
        "stores": asyncio.run(write_stores(folder, keyrings, now, random)),
        "audit": _write_audit(folder, kept, now),
        "receipts": _write_receipts(folder, kept, now),
        "pending": _write_pending(folder, kept, now),
        "migration": write_migration(folder, kept, now),
        "configuration": _copy_configuration(folder),
    }
    about = "What Sealyard of this release wrote. Keys and passphrases are of tests."
    return {"release": name, "about": about, "made": now, "items": items}


def a_keyring(now: int, random: RandomBytes) -> Keyring:
    """Return a keyring with KEKs in every state, numbers retired, and revocations pruned.

    One generation of its index is being replaced by the next.
    """
    kept = create("k1", now=now - 5000, random=random)
    for number in range(2, 8):
        kept = kept.add(f"k{number}", now=now - 5000 + number, random=random)
    for gone in ("k2", "k5", "k7"):
        kept = kept.disable(gone).remove(gone)
    kept = kept.promote("k4").disable("k3").add("", now=now - 900, random=random, marked=True)
    kept = kept.promote(kept.keks[-1].id)
    for name in ("k2027", "gone"):
        kept = kept.add(name, now=now - 800, random=random, marked=True)
    gone = kept.keks[-1].id
    kept = kept.disable(gone).remove(gone)
    kept = kept.revoke(record_name(kept.name_key, Scope("clinic", "long ago")), now - 400 * _DAYS)
    for scope in REVOKED:
        kept = kept.revoke(record_name(kept.name_key, scope), now - 1000, now=now)
    for since in (now - 700, now - 600):
        kept = kept.rotate_index(now=since, random=random)
    return kept.turn_index(now=now - 500)


def _write_keyrings(
    folder: Path, keyrings: dict[str, Keyring], random: RandomBytes
) -> list[dict[str, Any]]:
    """Write each keyring under the root key, and the first under the passphrase too."""
    create_root_file(folder / "root.key", random=random)
    root = FileRoot(SecretReference(file=folder / "root.key"))
    (folder / "passphrase.txt").write_text(PASSPHRASE + "\n")
    passphrase = PassphraseRoot(
        SecretReference(env="TEST_PASSPHRASE"), {"TEST_PASSPHRASE": PASSPHRASE}
    )
    items = []
    for file, kept in keyrings.items():
        create_keyring(folder / file, kept, root)
        items.append({"file": file, "root": "file", "opened by": "root.key", **facts(kept)})
        if file == "keyring.jwe":
            again = "keyring-passphrase.jwe"
            create_keyring(folder / again, kept, passphrase)
            opener = {"root": "passphrase", "opened by": "passphrase.txt"}
            items.append({"file": again, **opener, **facts(kept)})
    return items


def _write_audit(folder: Path, kept: Keyring, now: int) -> dict[str, Any]:
    """Write a log of two files, the older renamed as logrotate would, and its head."""
    times = iter(range(now, now + 100))
    log = AuditLog(folder / "audit.log", lambda: float(next(times)))
    key = derivation.audit_key(kept.record_key)
    log.write(key, "keys.create", keyring="keyring.jwe", kek="k1")
    log.write(key, "keys.add", keyring="keyring.jwe", kek="k2")
    (folder / "audit.log").rename(folder / "audit.log.1")
    log.write(key, "sessions.revoke", scope=record_name(kept.name_key, REVOKED[0]), not_before=now)
    log.write(key, "open.refused", reason="bad-tag", source="cli")
    log.write(key, "tokens.decrypt", note="Grüße 🌍 " * 40)
    lines = [*(folder / "audit.log.1").read_bytes().splitlines()]
    lines += (folder / "audit.log").read_bytes().splitlines()
    last = json.loads(lines[-1])
    return {
        "files": ["audit.log.1", "audit.log"],
        "head": ".audit.log.head",
        "lines": len(lines),
        "anchor": f"{last['seq']}:{last['mac']}",
        "events": [json.loads(one)["event"] for one in lines],
    }


def _write_receipts(folder: Path, kept: Keyring, now: int) -> list[dict[str, Any]]:
    scopes = {
        "sessions": Scope("clinic", "5:alice3:bob"),
        "joined": Scope("clinic", Joined("members", ("alice", "bob"))),
    }
    said = {
        name: erase_receipt.of_sessions(
            scope,
            ["AAAAAAAAAAAAAAAA"],
            name=record_name(kept.name_key, scope),
            names=[record_name(kept.name_key, scope)],
            not_before=now,
            revoked_in_store=True,
            revoked_in_keyring=False,
            shared=True,
        )
        for name, scope in scopes.items()
    }
    gone = kept.entry("k3")
    claims = {"kek": gone.id, "number": gone.number, "created": gone.created}
    said["kek"] = erase_receipt.of_kek(claims)
    items = []
    for name, one in said.items():
        file = f"receipt-{name}.jws"
        (folder / file).write_text(erase_receipt.sign(one, kept.record_key, now=now) + "\n")
        item = {"file": file, "says": one, "key": erase_receipt.public_jwk(kept.record_key)}
        if name in scopes:
            parts = zip(("tenant", "conversation"), scopes[name], strict=False)
            item["scope"] = {part: to_json(value) for part, value in parts}  # type: ignore[arg-type]  # names alone
        items.append(item)
    return items


def _write_pending(folder: Path, kept: Keyring, now: int) -> dict[str, Any]:
    """Write the revocations that the store has not taken yet."""
    revocations = [
        PendingRevocation(record_name(kept.name_key, scope), now - at, timed=bool(at % 2))
        for at, scope in enumerate(REVOKED)
    ]
    file = f"keyring.jwe{SUFFIX}"
    text = "".join(f"{one.encode(kept.record_key)}\n" for one in revocations)
    (folder / file).write_text(text)
    return {"file": file, "revocations": [asdict(one) for one in revocations]}


def _copy_configuration(folder: Path) -> list[str]:
    """Copy what is shipped, beside the files that use what no example uses."""
    place = folder / "configuration"
    place.mkdir()
    for one in _configurations():
        shutil.copy(one, place / one.name)
    return sorted(one.name for one in place.iterdir())


def _configurations() -> Iterator[Path]:
    yield ROOT / "config" / "sealyard.yaml"
    yield from (ROOT / "config" / "examples").glob("*.yaml")
    yield from (HERE / "configuration").glob("*.yaml")


def unused_keys(configurations: Iterable[Path]) -> Iterator[str]:
    """Yield the names of keys that none of the configurations has."""
    text = "\n".join(one.read_text() for one in configurations)
    for section in SECTIONS:
        for key in section.keys:
            if not re.search(rf"(?<![\w-]){re.escape(key.name)}'?:", text):
                yield f"{section.name}.{key.name}"


if __name__ == "__main__":
    main(sys.argv[1:])
