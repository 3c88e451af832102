"""Makes wire/*.json: vectors of every form, for readers that are written from the page on it.

Run it as `python -m tests.vectors.make_wire`, for a form that has none: what is there is frozen and
stays. Keys and passphrases are of tests.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from proxy.core.crypto.context import Scope
from proxy.keys.keyring.keyring import Keyring, create
from proxy.keys.keyring.name_keys import record_name
from tests.vectors.make_wire_equal import equal_values
from tests.vectors.make_wire_keys import (
    keyrings,
    packages,
    private_keys,
    receipts,
    the_keys,
    the_records,
)
from tests.vectors.make_wire_tags import tags
from tests.vectors.make_wire_values import contexts, streams, tokens
from tests.vectors.wire_names import NEW, NOW, Vector

TARGET: Final = Path(__file__).with_name("wire")


def main() -> None:
    """Make those that are not there yet: what is there is frozen."""
    TARGET.mkdir(exist_ok=True)
    keyring = a_keyring()
    for name, (held, about, vectors, more) in {
        "contexts": (
            keyring,
            "CONTEXT and SCOPE of names, and record names",
            contexts(keyring),
            {},
        ),
        "tokens": (keyring, "Tokens, and what must not open", tokens(keyring), {}),
        "streams": (keyring, "Sealed streams, in base64", streams(keyring), {}),
        "packages": (
            keyring,
            "Key packages and tokens under their keys",
            packages(),
            {"keys": the_keys()},
        ),
        "private_keys": (keyring, "Private keys of participants", private_keys(keyring), {}),
        "keyrings": (keyring, "A keyring's file", keyrings(keyring), {}),
        "records": (keyring, "Records of the store, in hex", the_records(keyring), {}),
        "tags": (keyring, "Words and values, and the tags of both", tags(), {}),
        "equal": (keyring, "Tokens in the equal form, and what must not open", equal_values(), {}),
        "receipts": (keyring, "Receipts and audit lines", receipts(keyring), {}),
    }.items():
        told = {"about": about, "now": NOW, "keyring": shown(held), **more, "vectors": vectors}
        text = json.dumps(told, indent=1, ensure_ascii=False)
        file = TARGET / f"{name}.json"
        if not file.exists():
            file.write_text(text + "\n")


def a_keyring() -> Keyring:
    """Return a keyring with a primary KEK, one that opens and one that is disabled."""
    made = create("first", now=NEW - 5000, random=os.urandom)
    made = made.add("a-B_" * 8, now=NEW, random=os.urandom)
    made = made.add("off", now=NEW, random=os.urandom).disable("off")
    name = record_name(made.name_key, Scope("clinic", "revoked"))
    return made.revoke(name, NEW + 1)


def shown(keyring: Keyring) -> Vector:
    """Return the keyring, all its keys with it."""
    return {
        "keks": [
            {
                "id": one.id,
                "number": one.number,
                "state": one.state,
                "key": one.key.reveal().hex(),
            }
            for one in keyring.keks
        ],
        "name_key": keyring.name_key.reveal().hex(),
        "record_key": keyring.record_key.reveal().hex(),
        "revocations": {one.name: one.not_before for one in keyring.revocations},
    }


if __name__ == "__main__":
    main()
