"""Pure functions of bytes in two forms, Python and native, that return the same for every input.

The Python functions are the reference; the distribution `sealyard-native` has the others. Which
ones are used is decided here, once.
"""

from __future__ import annotations

from .choice import FORM, NATIVE, REASON, Form

if FORM == "native":
    from sealyard_native import (
        Closed,
        Finder,
        candidates,
        decode,
        encode,
        fields,
        masking,
        put_texts,
        put_tokens,
        quote,
        splice,
        texts_at,
        token_parts,
        token_text,
        tokens_at,
        unquote,
    )
else:
    from .base64url import decode, encode
    from .closed import Closed
    from .finder import Finder
    from .heads import fields
    from .masks import masking
    from .spans import splice
    from .strings import quote, unquote
    from .tokens import candidates, token_parts, token_text, tokens_at
    from .values import put_texts, put_tokens, texts_at

__all__ = [
    "FORM",
    "NATIVE",
    "REASON",
    "Closed",
    "Finder",
    "Form",
    "candidates",
    "decode",
    "encode",
    "fields",
    "masking",
    "put_texts",
    "put_tokens",
    "quote",
    "splice",
    "texts_at",
    "token_parts",
    "token_text",
    "tokens_at",
    "unquote",
]
