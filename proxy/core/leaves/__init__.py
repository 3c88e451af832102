"""Pure functions of bytes in two forms, Python and native, that return the same for every input.

The Python functions are the reference; the distribution `sealyard-native` has the others. Which
ones are used is decided here, once.
"""

from __future__ import annotations

from .choice import FORM, NATIVE, REASON, Form

if FORM == "native":
    from sealyard_native import decode, encode, quote, splice, token_parts, token_text
else:
    from .base64url import decode, encode
    from .spans import splice
    from .strings import quote
    from .tokens import token_parts, token_text

__all__ = [
    "FORM",
    "NATIVE",
    "REASON",
    "Form",
    "decode",
    "encode",
    "quote",
    "splice",
    "token_parts",
    "token_text",
]
