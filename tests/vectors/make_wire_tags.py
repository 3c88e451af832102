"""Makes wire/tags.json: words of texts, normal forms of values, and the tags of both."""

from __future__ import annotations

import os
from typing import Final

from proxy.core.crypto.context import Scope
from proxy.core.crypto.joined_names import Name
from proxy.core.crypto.secret import KEY_BYTES, IndexSecret
from proxy.core.search.normal_forms import NORMAL_FORMS, normalize
from proxy.core.search.tags import IndexKeys
from proxy.core.search.words import words
from tests.vectors.wire_names import LIST, MEMBERS, NESTED, Vector, spelled

TEXTS: Final = (
    "The quick brown fox can't jump 32.3 feet, right?",
    "state-of-the-art _and_ snake_case, \u201cGr\u00fc\u00dfe\u201d STRASSE \ufb01n",
    "e\u0301te\u0301 hyph\u00adens donaudampfschifffahrtsgesellschaft \U0001f44d",
    "\u05e9\u05dc\u05d5\u05dd \u041f\u0440\u0438\u0432\u0435\u0442 1,5 a.b can\u2019t",
)
VALUES: Final = (" Ann.B@Example.COM ", "+49 (170) 12-34", "Stra\u00dfe 1", "\u0661\u0662\uff13")


def tags() -> list[Vector]:
    """Return tags in scopes of every kind and of several generations."""
    scopes: list[dict[str, Name]] = [
        {"tenant": "clinic", "conversation": "c1"},
        {"tenant": "clinic"},
        {"tenant": "a", "conversation": "bc"},
        {"tenant": "ab", "conversation": "c"},
        {"conversation": LIST},
        {"tenant": MEMBERS, "conversation": NESTED},
        {},
    ]
    return [one for at, parts in enumerate(scopes) for one in _in_scope(parts, 1 + 11 * at)]


def _in_scope(parts: dict[str, Name], generation: int) -> list[Vector]:
    material = os.urandom(KEY_BYTES)
    keys = IndexKeys(IndexSecret(material), generation)
    scope = Scope(parts.get("tenant"), parts.get("conversation"))
    about = {"secret": material.hex(), "generation": generation, "parts": spelled(parts)}
    made: list[Vector] = []
    for text in TEXTS:
        found = words(text)
        held = {"kind": "words", "field": "content", "text": text, "words": found}
        made.append({**about, **held, "tags": keys.word_tags(scope, "content", found)})
    for value in VALUES:
        for form in NORMAL_FORMS:
            normal = normalize(form, value) if _has_digits(value) or form != "digits" else ""
            if normal:
                held = {"kind": "exact", "field": "e", "normalize": form, "text": value}
                tag = keys.exact_tag(scope, "e", normal)
                made.append({**about, **held, "words": [normal], "tags": [tag]})
    return made


def _has_digits(value: str) -> bool:
    return any(one.isdecimal() for one in value)
