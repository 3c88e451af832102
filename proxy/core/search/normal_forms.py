"""The normal forms of values that are found by equality: two values with one form are the same."""

from __future__ import annotations

import unicodedata
from typing import Final, Literal, get_args

from ..errors import NotIndexable
from .words import folded, require_short

NormalForm = Literal["email", "digits", "casefold", "none"]
NORMAL_FORMS: Final[tuple[NormalForm, ...]] = get_args(NormalForm)


def normalize(kind: NormalForm, text: str) -> str:
    """Return the normal form of a value; raise NotIndexable if it is empty or too long.

    `email`: case-folded, without white space around it. `digits`: the decimal digits alone, of
    any script. `casefold`: case-folded, in NFKC. `none`: the value itself.
    """
    require_short(text)
    if kind == "none":
        normal = text
    elif kind == "casefold":
        normal = folded(text)
    elif kind == "email":
        normal = folded(text).strip()
    else:
        digits = (unicodedata.decimal(one, None) for one in folded(text))
        normal = "".join(str(one) for one in digits if one is not None)
    if not normal:
        raise NotIndexable("nothing-to-index", detail="nothing of the value can be searched.")
    return normal
