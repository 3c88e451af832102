"""Search for a text in bytes, in every encoding that a leak could have."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from urllib.parse import quote, quote_plus


def spellings(text: str) -> dict[str, bytes]:
    """Return the spellings of `text` that are searched for, by name.

    base64 encodes a text differently at three offsets. The part that does not depend on its
    neighbours is searched for.
    """
    raw = text.encode()
    found = {
        "raw": raw,
        "JSON": json.dumps(text)[1:-1].encode(),
        "hex": raw.hex().encode(),
        "percent": quote(text).encode(),
        "form": quote_plus(text).encode(),
        "UTF-16": text.encode("utf-16-le"),
    }
    for offset in range(3):
        padded = b"\0" * offset + raw
        whole = len(padded) // 3 * 3
        encoded = base64.b64encode(padded[:whole])[4 if offset else 0 :]
        found[f"base64 at {offset}"] = encoded
        found[f"base64url at {offset}"] = encoded.replace(b"+", b"-").replace(b"/", b"_")
    return found


def search(text: str, places: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Return each place that contains `text`, with the spelling in which it was found."""
    hex_upper = text.encode().hex().upper().encode()
    return [
        (place, spelling)
        for place, content in places.items()
        for spelling, needle in {**spellings(text), "HEX": hex_upper}.items()
        if needle in content
    ]
