"""Make base64.json: the first tokens of sy1.json again, in base64 form, by the formula alone.

Nothing of Sealyard is used, so that these vectors do not repeat a mistake of it.
"""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = Path(__file__).parent
MARK = b"\x89SY1B64\r\n"
CONTENTS = {"a word": b"hello", "nothing": b"", "an image": b"\x89PNG\r\n\x1a\n\x00\xff" * 20}


def main() -> None:
    """Write base64.json beside this file, unless it is there: it is frozen."""
    one = json.loads((HERE / "sy1.json").read_text())
    first = one["must_open"][0]
    header = first["token"].partition(".")[0].encode()
    made = [_vector(first, header, name, content) for name, content in CONTENTS.items()]
    document = {"version": "sy1", "now": one["now"], "must_open": made}
    with (HERE / "base64.json").open("x") as file:
        file.write(json.dumps(document, indent=1) + "\n")


def _vector(first: dict[str, Any], header: bytes, name: str, content: bytes) -> dict[str, Any]:
    head = MARK + len(header).to_bytes(2) + header
    sealed = AESGCM(bytes.fromhex(first["sk"])).encrypt(bytes.fromhex(first["iv"]), content, head)
    data = head + bytes.fromhex(first["iv"]) + sealed
    text = b64encode(data).decode()
    shared = ("kek", "kek_id", "kek_number", "sk", "sid", "context", "iv", "cty", "exp")
    other = {**first["context"], "field": "subject"}
    broken = data[:-1] + bytes([data[-1] ^ 1])
    as_jwe = AESGCM(bytes.fromhex(first["sk"])).encrypt(bytes.fromhex(first["iv"]), content, header)
    moved = head + bytes.fromhex(first["iv"]) + as_jwe
    wrong = MARK + (len(header) + 1).to_bytes(2) + data[len(MARK) + 2 :]
    return {
        "name": name,
        "form": "base64",
        **{key: first[key] for key in shared},
        "plaintext_hex": content.hex(),
        "characters": len(text),
        "token": text,
        "must_fail": [
            {"name": "bad tag", "token": b64encode(broken).decode(), "reason": "bad-tag"},
            {"name": "another field", "token": text, "context": other, "reason": "wrong-context"},
            {
                "name": "the ciphertext of a token in JWE form",
                "token": b64encode(moved).decode(),
                "reason": "bad-tag",
            },
            {
                "name": "cut",
                "token": b64encode(data[: len(head) + 27]).decode(),
                "reason": "malformed-token",
            },
            {"name": "a line end", "token": text[:76] + "\n" + text[76:], "reason": _SPELLED},
            {"name": "URL-safe", "token": text.replace("/", "_") + "====", "reason": _SPELLED},
            {
                "name": "another length of the header",
                "token": b64encode(wrong).decode(),
                "reason": _SPELLED if content else "malformed-token",
            },
        ],
    }


_SPELLED = "base64-not-canonical"

if __name__ == "__main__":
    main()
