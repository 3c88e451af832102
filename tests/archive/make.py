"""Makes the archive of a release: what it wrote, and what that must open to, for ever after.

Run it once, with the code of the release that it is for: it refuses to write over what is there.
`0.1.0` was made with the code of release 0.1.0. All keys and passphrases in it are of tests, and
known to everybody.

    python -m tests.archive.make
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from proxy import __version__
from proxy.config.settings import SecretReference
from proxy.core.crypto import derivation
from proxy.core.crypto.context import Scope
from proxy.keys.audit import AuditLog
from proxy.keys.keyring.file import create_keyring
from proxy.keys.keyring.keyring import Keyring, create
from proxy.keys.keyring.roots import FileRoot, PassphraseRoot, create_root_file
from proxy.keys.operations import erase_receipt
from proxy.keys.stores.records import record_name
from tests.archive.make_messages import write_messages
from tests.archive.make_stores import write_stores
from tests.archive.make_values import write_packages, write_streams, write_tokens

FOLDER: Final = Path(__file__).with_name(__version__)
ROOT: Final = Path(__file__).parents[2]
PASSPHRASE: Final = "a passphrase of tests, known to everybody"
REVOKED: Final = (
    Scope("clinic", "revoked"),
    Scope("clinic", "7:revoked4:pair"),  # joined, as 0.1.0 writes it
    Scope(None, None),
)


def main() -> None:
    """Make all of it."""
    if FOLDER.exists():
        sys.exit(f"{FOLDER} is there already, and is not written over")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o700)
        manifest = _write(folder, int(time.time()))
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
        shutil.copytree(folder, FOLDER, ignore=shutil.ignore_patterns("*.lock"))


def _write(folder: Path, now: int) -> dict[str, Any]:
    kept = a_keyring(now)
    items = {
        "keyrings": _write_keyrings(folder, kept, now),
        "tokens": write_tokens(folder, kept, now),
        "streams": write_streams(folder, kept, now),
        "packages": write_packages(folder, now),
        "messages": asyncio.run(write_messages(folder, kept, now)),
        "stores": asyncio.run(write_stores(folder, kept, now)),
        "audit": _write_audit(folder, kept, now),
        "receipts": _write_receipts(folder, kept, now),
        "configuration": _copy_configuration(folder),
    }
    about = "What Sealyard of this release wrote. Keys and passphrases are of tests."
    return {"release": __version__, "about": about, "made": now, "items": items}


def a_keyring(now: int) -> Keyring:
    """Return a keyring with KEKs of each state, and holes in their numbers; k4 is primary."""
    kept = create("k1", now=now - 5000, random=os.urandom)
    for number in range(2, 8):
        kept = kept.add(f"k{number}", now=now - 5000 + number, random=os.urandom)
    for gone in ("k2", "k5", "k7"):
        kept = kept.disable(gone).remove(gone)
    kept = kept.promote("k4").disable("k3")
    for scope in REVOKED:
        kept = kept.revoke(record_name(kept.name_key, scope), now - 1000)
    return kept


def _write_keyrings(folder: Path, kept: Keyring, now: int) -> list[dict[str, Any]]:
    create_root_file(folder / "root.key", random=os.urandom)
    root = FileRoot(SecretReference(file=folder / "root.key"))
    (folder / "passphrase.txt").write_text(PASSPHRASE + "\n")
    passphrase = PassphraseRoot(
        SecretReference(env="TEST_PASSPHRASE"), {"TEST_PASSPHRASE": PASSPHRASE}
    )
    fresh = create("k1", now=now, random=os.urandom)
    create_keyring(folder / "keyring.jwe", kept, root)
    create_keyring(folder / "keyring-passphrase.jwe", kept, passphrase)
    create_keyring(folder / "keyring-new.jwe", fresh, root)
    return [
        _keyring_item("keyring.jwe", "file", kept),
        _keyring_item("keyring-passphrase.jwe", "passphrase", kept),
        _keyring_item("keyring-new.jwe", "file", fresh),
    ]


def _keyring_item(file: str, root: str, kept: Keyring) -> dict[str, Any]:
    """Return what the keyring holds, all its keys with it: they are of tests."""
    return {
        "file": file,
        "root": root,
        "opened by": {"file": "root.key", "passphrase": "passphrase.txt"}[root],
        "keks": [
            {
                "id": one.id,
                "number": one.number,
                "created": one.created,
                "state": one.state,
                "key": one.key.reveal().hex(),
            }
            for one in kept.keks
        ],
        "name key": kept.name_key.reveal().hex(),
        "record key": kept.record_key.reveal().hex(),
        "highest number": kept.highest_number,
        "revocations": {one.name: one.not_before for one in kept.revocations},
    }


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
    scope = Scope("clinic", "5:alice3:bob")
    sessions = erase_receipt.of_sessions(
        scope,
        ["AAAAAAAAAAAAAAAA"],
        name=record_name(kept.name_key, scope),
        not_before=now,
        revoked_in_store=True,
        revoked_in_keyring=False,
        shared=True,
    )
    said = {"sessions": sessions, "kek": erase_receipt.of_kek(kept.entry("k3"))}
    items = []
    for name, one in said.items():
        file = f"receipt-{name}.jws"
        (folder / file).write_text(erase_receipt.sign(one, kept.record_key, now=now) + "\n")
        items.append({"file": file, "says": one, "key": erase_receipt.public_jwk(kept.record_key)})
    items[0]["scope"] = {"tenant": scope.tenant, "conversation": scope.conversation}
    return items


def _copy_configuration(folder: Path) -> list[str]:
    """Copy what was shipped, beside the files that use what no example uses."""
    place = folder / "configuration"
    place.mkdir()
    shipped = [ROOT / "config" / "sealyard.yaml", *(ROOT / "config" / "examples").glob("*.yaml")]
    more = (Path(__file__).parent / "configuration").glob("*.yaml")
    for one in (*shipped, *more):
        shutil.copy(one, place / one.name)
    return sorted(one.name for one in place.iterdir())


if __name__ == "__main__":
    main()
