"""Makes wire/*.json: vectors of every form, for readers that are written from the page on it.

Run it as `python -m tests.vectors.make_wire`, only for a form that has none, into a new folder: it
refuses to overwrite what is frozen. Keys and passphrases are of tests.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from proxy.core.context import Scope
from proxy.keys.keyring import Keyring, create
from proxy.keys.stores import record as records
from tests.vectors.make_wire_keys import (
    keyrings,
    packages,
    private_keys,
    receipts,
    the_keys,
    the_records,
)
from tests.vectors.make_wire_values import contexts, streams, tokens
from tests.vectors.wire_names import (
    NEW,
    NOW,
    SINCE,
    Vector,
)

TARGET: Final = Path(__file__).with_name("wire")


def main() -> None:
    """Make them all."""
    if TARGET.exists():
        sys.exit(f"{TARGET} is there already, and is frozen")
    TARGET.mkdir()
    keyring = a_keyring()
    for name, (about, vectors, more) in {
        "contexts": ("CONTEXT and SCOPE of names, and record names", contexts(keyring), {}),
        "tokens": ("Tokens, and what must not open", tokens(keyring), {}),
        "streams": ("Sealed streams, in base64", streams(keyring), {}),
        "packages": ("Key packages and tokens under their keys", packages(), {"keys": the_keys()}),
        "private_keys": ("Private keys of participants", private_keys(keyring), {}),
        "keyrings": ("A keyring's file", keyrings(keyring), {}),
        "records": ("Records of the store, in hex", the_records(keyring), {}),
        "receipts": ("Receipts and audit lines", receipts(keyring), {}),
    }.items():
        told = {"about": about, "now": NOW, "keyring": shown(keyring), **more, "vectors": vectors}
        text = json.dumps(told, indent=1, ensure_ascii=False)
        (TARGET / f"{name}.json").write_text(text + "\n")


def a_keyring() -> Keyring:
    """Return a keyring with a primary KEK, one that opens and one that is disabled."""
    made = create("first", now=SINCE - 5000, random=os.urandom)
    made = made.add("a-B_" * 8, now=SINCE, random=os.urandom)
    made = made.add("off", now=SINCE, random=os.urandom).disable("off")
    name = records.record_name(made.name_key, Scope("clinic", "revoked"))
    return replace(made, joined_since=SINCE).revoke(name, NEW + 1)


def shown(keyring: Keyring) -> Vector:
    """Return the keyring, all its keys with it."""
    return {
        "keks": [
            {"id": one.id, "number": one.number, "state": one.state, "key": one.key.reveal().hex()}
            for one in keyring.keks
        ],
        "name_key": keyring.name_key.reveal().hex(),
        "record_key": keyring.record_key.reveal().hex(),
        "joined_since": keyring.joined_since,
        "revocations": {one.name: one.not_before for one in keyring.revocations},
    }


if __name__ == "__main__":
    main()
